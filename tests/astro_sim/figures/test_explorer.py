"""The slider panel: its integrator against Brian2, its surrogate against theory, its widgets."""

import numpy as np
import pytest
from brian2 import Hz, second, umolar

from astro_sim.dynamics.closed_forms import efficacy_dynamics, receptors_after_release
from astro_sim.figures.explorer import (
    LIMITS,
    N_CELLS,
    STEP_S,
    SYNAPSE,
    Explorer,
    Settings,
    explore,
    solve,
    surrogate_retention,
)
from astro_sim.models.astrocytes import AstrocyteNetwork
from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.models.topology import chain
from astro_sim.parameters.presets import AM, FM, GLIOTRANSMISSION, LINEAR, PLASTICITY
from astro_sim.parameters.tables import THIS_STUDY
from astro_sim.parameters.variants import variant
from astro_sim.protocols.pulses import DistanceSweep
from astro_sim.protocols.trains import Train
from astro_sim.simulation.run import simulate


@pytest.fixture(scope="module")
def panel():
    return explore()


@pytest.mark.slow
def test_agrees_with_brian2_on_a_tripartite_synapse():
    course = solve(Settings(rate_hz=0.2, coupling=0.0, alpha=1.0, duration_s=12))
    spread = variant(GLIOTRANSMISSION, source=THIS_STUDY, alpha=1)
    model = TripartiteSynapses(astrocyte=AM, release=SYNAPSE, gliotransmission=spread, plasticity=None)
    spikes = Train(rate=0.2 * Hz, n_pulses=3, start=1 * second)
    recording = simulate(model, spikes, duration=12 * second, record_every=STEP_S * second, target="numpy")
    calcium = recording["C"].values[:, 0]
    np.testing.assert_allclose(course.C[: len(calcium), 0], calcium[: len(course.C)], atol=0.05)
    np.testing.assert_allclose(course.release_s, recording["release_time"].values, atol=STEP_S)
    r_S = recording["r_S"].sel(time=course.spike_s + 0.5, method="nearest").values[:, 0]
    np.testing.assert_allclose(course.r_S, r_S, atol=2e-3)


def test_agrees_with_brian2_on_pipette_and_gap_junctions():
    course = solve(Settings(ip3=1.0, rate_hz=0.1, coupling=0.2, duration_s=10))
    before_the_spike = course.time_s < 0.9
    astrocyte = variant(AM, source=THIS_STUDY, F_ex=FM.ip3.F_ex)
    coupling = variant(LINEAR, source=THIS_STUDY, F_lin=0.2 / second)
    network = AstrocyteNetwork(astrocyte=astrocyte, topology=chain(N_CELLS), coupling=coupling)
    pulse = DistanceSweep(I_bias=1 * umolar, width=10 * second, length=10 * second)
    record = {"record": ["C", "I"], "record_every": STEP_S * second}
    recording = simulate(network, pulse, duration=1 * second, target="numpy", **record)
    n = before_the_spike.sum()
    np.testing.assert_allclose(course.I[:n], recording["I"].values[:n], atol=2e-3)
    np.testing.assert_allclose(course.C[:n], recording["C"].values[:n], atol=2e-3)


def test_starts_at_rest_and_stays_there_until_the_first_spike():
    course = solve(Settings(ip3=0.0, coupling=0.3))
    quiet = course.time_s < 0.95
    np.testing.assert_allclose(course.C[quiet], np.broadcast_to(course.C[0], course.C[quiet].shape), rtol=1e-9)


def test_one_release_of_gliotransmitter_is_the_closed_form():
    course = solve(Settings(rate_hz=0.1, alpha=0.0, coupling=0.0, duration_s=20))
    after = course.release_s[0]
    Gamma_S = receptors_after_release(GLIOTRANSMISSION) * np.exp(-(course.spike_s[1] - after) / 120)
    r_S = course.r_S[1]  # ten seconds after the first spike: u_S has decayed, x_S recovered
    assert r_S == pytest.approx((1 - Gamma_S) * float(SYNAPSE.U_0__star), rel=1e-6)


def test_surrogate_is_the_closed_form_of_the_efficacy():
    a, factors = surrogate_retention(float(SYNAPSE.U_0__star), rate_hz=1.0)
    assert a == pytest.approx(5 / efficacy_dynamics(PLASTICITY["DP"], 1.0).tau_eff)
    assert a == pytest.approx(0.349, abs=0.002)
    assert factors.sum() == pytest.approx(1)
    np.testing.assert_allclose(factors[1:] / factors[:-1], np.exp(-a))


@pytest.mark.parametrize("name", LIMITS)
def test_every_slider_redraws_and_changes_the_picture(panel, name):
    before, control = panel.picture.value, panel.controls[name]
    middle = (control.min + control.max) / 2
    control.value = 10**middle if name == "rate_hz" else middle
    assert panel.picture.value != before
    assert getattr(panel.settings, name) == pytest.approx(control.value, rel=1e-9)
    control.value = 10**control.max if name == "rate_hz" else control.max  # its end is within the limits
    assert getattr(panel.settings, name) == pytest.approx(LIMITS[name][1])


def test_presets_can_be_switched(panel):
    before = panel.picture.value
    panel.controls["preset"].value = "fm"
    assert panel.settings.preset == "fm" and panel.picture.value != before
    panel.controls["preset"].value = "am"


def test_shows_a_picture_where_no_widgets_are():
    bundle = Explorer(Settings())._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(explore().figure.axes) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "nest"}, "preset must be 'am' or 'fm'"),
        ({"preset": "book"}, "preset must be 'am' or 'fm'"),
        ({"preset": "x"}, "preset must be one of"),
        ({"ip3": -0.1}, "ip3 must lie between 0 and 1.5, got -0.1"),
        ({"rate_hz": 0.0}, "rate_hz must lie between 0.1 and 10, got 0.0"),
        ({"coupling": 1.0}, "coupling must lie between 0 and 0.5, got 1.0"),
        ({"duration_s": 1.0}, "duration_s must be at least 10, got 1.0"),
    ],
)
def test_refuses_what_it_cannot_draw(settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**settings)
