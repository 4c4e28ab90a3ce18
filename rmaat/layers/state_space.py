"""A diagonal state-space layer."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class StateSpaceLayer(nn.Module):
    """S4D-Lin: each channel is the sum of `n_modes` damped oscillators, run over the tokens as one convolution.

    y_t = D x_t + sum_{s <= t} K_{t-s} x_s,   K_l = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(dt A_n l),
    A_n = -1/2 + i pi n at first; without `causal` a second set of C runs backwards. Then GELU and a gated linear unit.
    Interface of :class:`~rmaat.layers.softmax.SoftmaxAttention`. Cost O(tokens log tokens).
    """

    def __init__(self, d_model: int, *, n_modes: int = 32, causal: bool = False):
        super().__init__()
        self.causal = causal
        self.log_dt = nn.Parameter(math.log(1e-3) + torch.rand(d_model) * math.log(1e2))  # 0.001 to 0.1, as in S4
        self.log_decay = nn.Parameter(torch.full((d_model, n_modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(n_modes).expand(d_model, -1).clone().float())
        self.c = nn.Parameter(torch.randn(1 if causal else 2, d_model, n_modes, 2) * 0.5**0.5)
        self.d = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, 2 * d_model)

    @property
    def exact(self) -> torch.dtype:
        """The parameters' type, or float32 where that is less: there are no complex numbers below."""
        return torch.promote_types(self.d.dtype, torch.float32)

    def kernel(self, n_tokens: int) -> Float[Tensor, "directions d_model n_tokens"]:
        """K_l for l = 0 ... n_tokens - 1, forwards and, unless causal, backwards."""
        names = ("log_decay", "frequency", "log_dt", "c")
        log_decay, frequency, log_dt, c = (getattr(self, name).to(self.exact) for name in names)
        a = torch.complex(-log_decay.exp(), frequency)
        dt_a = a * log_dt.exp()[:, None]
        modes = torch.exp(dt_a[..., None] * torch.arange(n_tokens, device=a.device))
        c = torch.view_as_complex(c) * (torch.expm1(dt_a) / a)
        return 2 * torch.einsum("kdn,dnl->kdl", c, modes).real

    def positions(self) -> None:
        return None

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        phi_r: None = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """Outputs of all tokens; those that are not valid put nothing in."""
        n_tokens = x.shape[1]
        u = (x if mask is None else x * mask[..., None]).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            forwards, *backwards = self.kernel(n_tokens)
            kernel = F.pad(forwards, (0, n_tokens))
            if backwards:  # the backward kernel starts one token ahead, so that no token counts twice
                kernel = kernel + F.pad(backwards[0].flip(-1), (n_tokens, 0))
            u = u.to(self.exact)
            spectrum = torch.fft.rfft(u, n=2 * n_tokens) * torch.fft.rfft(kernel)
            y = torch.fft.irfft(spectrum, n=2 * n_tokens)[..., :n_tokens] + self.d[:, None] * u
        return F.glu(self.out(F.gelu(y).to(self.d.dtype).transpose(1, 2)), dim=-1)
