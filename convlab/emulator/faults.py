"""What goes wrong in an emulated kernel."""


class EmulationError(RuntimeError):
    """A kernel did what no kernel may, or what this emulator cannot; the message names thread and instruction."""


class Fault(Exception):
    """A fault as an instruction sees it: which of the lanes it runs on is at fault, or None for no one of them."""

    def __init__(self, message: str, lane: int | None = None) -> None:
        super().__init__(message)
        self.lane = lane
