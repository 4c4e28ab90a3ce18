"""Equations: dimensions, no numbers, and closed forms against the differential equations that they solve."""

import re

import brian2 as b2
import numpy as np
import pytest
from scipy.integrate import quad

from astro_sim.models import equations as eq
from astro_sim.models.astrocytes import AstrocyteNetwork, ChI, GChI, InwardCurrent, LiRinzel
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.parameters.presets import PRESETS
from astro_sim.parameters.tables import AstrocyteParameters
from astro_sim.parameters.units import Table
from astro_sim.simulation.run import simulate

BLOCKS = {name: getattr(eq, name) for name in dir(eq) if isinstance(getattr(eq, name), b2.Equations)}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_blocks_hold_structure_and_no_constants(name):
    text = " ".join(str(block.expr) for block in BLOCKS[name].values() if block.expr is not None)
    literals = {float(number) for number in re.findall(r"(?<![\w.])\d+\.?\d*", text)}
    assert literals <= {0, 0.5, 1, 2, 3, 4}  # Hill exponents, halves, bounds


@pytest.mark.parametrize(
    "model",
    [
        LiRinzel(),
        ChI(stim=1),
        ChI(noise=1.0),
        GChI(),
        GChI(update="published"),
        AstrocyteNetwork(),
        InwardCurrent(),
        TripartiteSynapses(n_synapses=2),
        TripartiteSynapses(n_synapses=2, update="published"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_are_dimensionally_consistent(model):
    # Brian2 checks the units of every statement before the first step
    recording = simulate(model, duration=2 * b2.ms, target="numpy", initial="published")
    assert recording.sizes["time"] == 3


def test_every_symbol_of_a_table_is_used_in_an_equation():
    text = "\n".join(str(value) for name, value in vars(eq).items() if isinstance(value, str | b2.Equations))
    text += "".join(str(part) for value in eq.GAP_JUNCTIONS.values() for part in value)
    text += str(eq.ip3(receptor=True, exogenous=True, junctions=True)) + eq.on_release(True) + eq.plasticity_step(True)
    unused = {"D", "beta", "b", "refractory", "tau_r"}  # the delay, read-outs of the paper, refractory times
    for table in Table.__subclasses__():
        for symbol in set(table.kinds()) - unused:
            symbol = {"C_pre": "Cpre", "C_post": "Cpost"}.get(symbol, symbol)
            if table.__module__ == "astro_sim.parameters.tables":
                assert re.search(rf"\b{symbol}\b", text), f"{table.__name__}.{symbol}"
    assert all(isinstance(preset, AstrocyteParameters) for preset in PRESETS.values())


def execute(code: str, **values) -> dict:
    """Run abstract code as Python."""
    functions = dict(exp=np.exp, log=np.log, sqrt=np.sqrt, clip=np.clip, inf=np.inf, second=1.0)
    functions["exprel"] = lambda x: np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1, x))
    namespace = {**functions, **values}
    exec(code, namespace)
    return namespace


@pytest.mark.parametrize("C, Gamma, Y, dt", [(0.05, 0.0, 1500.0, 0.01), (0.4, 0.6, 20.0, 0.01), (0.4, 0.6, 0.0, 0.01)])
def test_receptor_step_solves_the_receptor(C, Gamma, Y, dt):
    constants = dict(O_N=0.3, Omega_N=0.5, zeta=10.0, K_KC=0.5, Omega_c=40.0, mmolar=1.0)
    values = dict(C=C, C_last=C - 0.02, Gamma_A=Gamma, Y_S=Y, Y_missed=3.0, dt=dt)
    after = execute(eq.RECEPTOR_STEP, **values, **constants)
    binding = 0.3 * (Y * (1 - np.exp(-40 * dt)) / (40 * dt) + 3)  # mean over the step
    middle = C + 0.01
    total = binding + 0.5 * (1 + 10 * middle / (middle + 0.5))

    def course(t):
        return binding / total + (Gamma - binding / total) * np.exp(-total * t)

    assert after["Gamma_A"] == pytest.approx(course(dt), rel=1e-12)
    assert after["Gamma_A_mean"] == pytest.approx(quad(course, 0, dt)[0] / dt, rel=1e-10)


@pytest.mark.parametrize("c", [0.0, 0.9, 1.2, 2.7, 50.0])
@pytest.mark.parametrize("theta_p", [1.3, 0.7])
@pytest.mark.parametrize("elapsed", [0.003, 0.2])
def test_efficacy_step_is_the_solution_of_its_equation(c, theta_p, elapsed):
    constants = dict(tau_Ca=0.02, theta_d=1.0, theta_p=theta_p, gamma_d=200.0, gamma_p=321.808, sigma=2.8, tau=150.0)
    constants.update(rho_star=0.5, cubic=1.0)
    after = execute(eq.plasticity_step(True), t=elapsed, t_c=0.0, c=c, rho=0.3, randn=lambda: 0.0, **constants)
    rho, variance, n = 0.3, 0.0, 4000
    dt, decay = elapsed / n, np.exp(-elapsed / n / 0.02)
    for _ in range(n):
        above_d, above_p = int(c > 1.0), int(c > theta_p)
        rate = 321.808 * above_p + 200 * above_d
        rho += dt / 150 * (321.808 * above_p - rate * rho - rho * (1 - rho) * (0.5 - rho))
        variance += dt / 150 * (2.8**2 * (above_d + above_p) - 2 * rate * variance)
        c *= decay
    assert after["rho"] == pytest.approx(rho, rel=1e-3)
    assert 2.8**2 * after["variance"] / 150 == pytest.approx(variance, rel=1e-2, abs=1e-12)
    assert after["c"] == pytest.approx(c, rel=1e-9)
