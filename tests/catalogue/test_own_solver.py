"""The five lines with which notebook 07 puts a user's own root solver into a block do what they say."""

import json
import re
from pathlib import Path

import pytest
import torch

from pushforward.catalogue.implicit_theorems import maps
from pushforward.errors import NotConverged
from pushforward.flows import ImplicitBlock
from pushforward.implicit import RootSolver
from pushforward.implicit.iteration import iterate

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "07-implicit-flows.ipynb"


def lines():
    """The example's source, as the notebook prints it."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    (found,) = re.findall(r"```python\n(.*?)```", text, re.S)
    return found


@pytest.fixture()
def made():
    g_x, g_z = maps.random_net(2, 0.99, 0), maps.random_net(2, 0.99, 1)
    names = {"iterate": iterate, "ImplicitBlock": ImplicitBlock, "g_x": g_x, "g_z": g_z}
    exec(lines(), names)
    return names


def test_the_solver_is_five_lines():
    solver = [line for line in lines().splitlines() if line.strip() and not line.startswith("block")]
    assert len(solver) <= 5


def test_its_block_finds_the_roots_and_its_gradients(made):
    assert isinstance(made["relaxed"], RootSolver)
    block, newton = made["block"].eval(), ImplicitBlock(made["g_x"], made["g_z"]).eval()
    x = maps.points(20, 2).requires_grad_()
    torch.testing.assert_close(block(x), newton(x), rtol=0, atol=1e-9)
    one, other = (torch.autograd.grad(each(x).square().sum(), x)[0] for each in (block, newton))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-8)
    assert block.audits["forward"].unconverged == 0 and block.audits["forward"].solves == 40


def test_a_step_that_leads_nowhere_is_told(made):
    def still(residual, start, kappa, tol):
        return iterate(residual, start, kappa, tol, lambda z, f: z, max_iterations=20)

    with pytest.raises(NotConverged, match="no certified root"):
        ImplicitBlock(made["g_x"], made["g_z"], solver=still).eval()(maps.points(5, 2))
