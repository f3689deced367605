"""convlab.grad: by hand, and as torch.nn.grad and autograd have it."""

import numpy as np
import pytest
from data import close, normal

import convlab
from convlab import ConvProblem, reference


def test_gradients_by_hand():
    x, w, g = np.array([[[1.0, 2, 3]]]), np.array([[[4.0, 5]]]), np.array([[[1.0, 10]]])
    assert convlab.grad.conv1d_input(x.shape, w, g).tolist() == [[[4, 45, 50]]]
    assert convlab.grad.conv1d_weight(x, w.shape, g).tolist() == [[[21, 32]]]


def test_complex_gradients_are_conjugated():
    x, w, g = np.array([[[1j]]]), np.array([[[2j]]]), np.array([[[3.0 + 0j]]])
    assert convlab.grad.conv1d_input(x.shape, w, g).item() == -6j
    assert convlab.grad.conv1d_weight(x, w.shape, g).item() == -3j


def test_no_images_give_no_gradient():
    assert not convlab.grad.conv1d_weight(np.ones((0, 2, 5)), (3, 2, 2), np.ones((0, 3, 4))).any()
    assert convlab.grad.conv1d_input((0, 2, 5), np.ones((3, 2, 2)), np.ones((0, 3, 4))).shape == (0, 2, 5)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_every_option_at_once(layout):
    options = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "dilation": (1, 2), "groups": 2, "layout": layout}
    x, w = normal(*{"channels_first": (2, 4, 9, 8), "channels_last": (2, 9, 8, 4)}[layout]), normal(6, 2, 3, 2)
    problem = ConvProblem.forward(x.shape, w.shape, **options)
    g = normal(*problem.y_shape)
    backward = problem.replace(direction="backward_data")
    close(convlab.grad.conv2d_input(x.shape, w, g, **options), reference.solve(backward, g, w))
    backward = problem.replace(direction="backward_weights", padding_mode="replicate")
    result = convlab.grad.conv2d_weight(x, w.shape, g, **options, padding_mode="replicate")
    close(result, reference.solve(backward, x, g))


def test_unbatched():
    x, w, g = normal(3, 6), normal(4, 3, 2), normal(4, 5)
    close(convlab.grad.conv1d_input(x.shape, w, g), convlab.grad.conv1d_input((1, *x.shape), w, g[None])[0])
    close(convlab.grad.conv1d_weight(x, w.shape, g), convlab.grad.conv1d_weight(x[None], w.shape, g[None]))


def test_input_size_lost_to_the_stride_is_told_by_the_argument():
    w, g = normal(1, 1, 2), normal(1, 1, 3)
    assert convlab.grad.conv1d_input((1, 1, 6), w, g, stride=2).shape == (1, 1, 6)
    longer = convlab.grad.conv1d_input((1, 1, 7), w, g, stride=2)
    assert longer.shape == (1, 1, 7)
    assert longer[0, 0, -1] == 0


@pytest.mark.peers
@pytest.mark.parametrize(
    ("ndim", "x", "w", "options"),
    [
        (1, (1, 1, 3), (1, 1, 1), {}),
        (2, (1, 1, 3, 3), (1, 1, 1, 2), {}),
        (3, (2, 8, 10, 10, 20), (4, 8, 2, 3, 3), {}),
        (2, (2, 6, 9, 8), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_gradients_as_torch(ndim, x, w, options, dtype):
    torch = pytest.importorskip("torch")
    x, w = normal(*x, dtype=dtype), normal(*w, dtype=dtype)
    x_torch, w_torch = (torch.from_numpy(a).requires_grad_() for a in (x, w))
    y = getattr(torch.nn.functional, f"conv{ndim}d")(x_torch, w_torch, **options)
    g = normal(*y.shape, dtype=dtype)
    d_x, d_w = (d.resolve_conj().numpy() for d in torch.autograd.grad(y, (x_torch, w_torch), torch.from_numpy(g)))
    close(getattr(convlab.grad, f"conv{ndim}d_input")(x.shape, w, g, **options), d_x)
    close(getattr(convlab.grad, f"conv{ndim}d_weight")(x, w.shape, g, **options), d_w)
