"""The kernels compile for a GPU, on a machine without one; `torch.compile` takes them as they are."""

import os
import subprocess
import sys

import pytest
import torch

from rmaat.config import ModelConfig
from rmaat.kernels import switch, use_kernels
from rmaat.models.rmaat import RMAAT

pytestmark = pytest.mark.skipif(not switch._found, reason="needs Triton")

COMPILE = """\
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from rmaat.kernels import read, write
from rmaat.kernels.tiles import sizes

FLOATS = {"scale", "exponent", "alpha", "floor", "inverse"}
SINGLE = {"S", "N", "OUT", "DS", "DN", "DR"}  # float32 whatever the inputs are
SWITCHES = {name: True for name in ("HAS_R", "HAS_MASK", "NEURON", "WANTS_R", "HAS_N", "FEEDBACK")}

for name in ("write", "write_backward", "read", "read_backward"):
    kernel = getattr(write if name.startswith("write") else read, f"{name}_kernel")
    options = sizes(name, torch.empty(1, 1, 1, 64, dtype=torch.bfloat16))
    warps = {key: options.pop(key) for key in ("num_warps", "num_stages")}
    constants = {key: value for key, value in (options | SWITCHES).items() if key in kernel.arg_names}
    signature = {}
    for argument in kernel.arg_names:
        if argument in constants:
            kind = "constexpr"
        elif argument.isupper():
            single = argument in SINGLE and not (name == "read" and argument == "OUT")
            kind = "*i1" if argument == "MASK" else "*fp32" if single else "*bf16"
        else:
            kind = "fp32" if argument in FLOATS else "i32"
        signature[argument] = kind
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=warps)
    assert compiled.metadata.shared <= 99 * 1024, (name, compiled.metadata.shared)
    print(name, len(compiled.asm["cubin"]) > 0)
"""


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu(tmp_path):
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "write True\nwrite_backward True\nread True\nread_backward True\n"


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton, with TRITON_INTERPRET=1")
@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_a_compiled_model_has_no_graph_break_and_equal_gradients(curves):
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "n_classes": 3, "d_model": 32, "n_heads": 2, "n_layers": 1, "d_ff": 16, "n_memory": 4}
    model = RMAAT(ModelConfig(segment_len=24, dropout=0.0, **sizes), curves)
    tokens = torch.randint(1, 9, (2, 50))

    def gradients():
        loss = model(tokens).square().mean()
        found = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in found])

    with use_kernels("on"):
        eager = gradients()
        model.compile(backend="aot_eager", fullgraph=True)
        assert (gradients() - eager).norm() < 1e-5 * eager.norm()
