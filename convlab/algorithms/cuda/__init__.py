"""Algorithms of the cuda backend. Named as their CPU twins; arrays are on the device `ctx.device` allocates on."""
