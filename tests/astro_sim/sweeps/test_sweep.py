"""The cut of a sweep into runs, and what cannot be swept."""

import numpy as np
import pytest
from brian2 import Hz, ms, second
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sweeps import small, synapses

from astro_sim.models.synapses import TripartiteSynapses
from astro_sim.protocols.trains import Poisson
from astro_sim.sweeps.sweep import Sweep


@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3), repeats=st.integers(1, 4), limit=st.integers(1, 60), sigma=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_every_condition_is_in_one_batch(sizes, repeats, limit, sigma):
    a, b, c = sizes
    axes = {
        "gliotransmission.alpha": np.linspace(0, 1, a),
        "protocol.rate": np.linspace(1, 5, b) * Hz,
        "record_every": np.arange(1, c + 1) * ms,
    }
    model = TripartiteSynapses()
    if sigma:
        axes["plasticity.sigma"] = [0.0, 2.8]
    sweep = Sweep(model=model, protocol=Poisson(rate=1 * Hz), axes=axes, repeats=repeats, elements_per_run=limit)
    batches = [batch for build in sweep.builds for batch in build]
    real = [condition for batch in batches for condition in batch.conditions[: batch.n]]
    assert sorted(real) == list(range(sweep.n_conditions))
    assert [batch.index for batch in batches] == list(range(len(batches)))
    others = [path for path in axes if path not in sweep.element_axes]
    for build in sweep.builds:
        assert len({len(batch.conditions) for batch in build}) == 1
        for batch in build:
            assert len(batch.conditions) * repeats <= max(limit, repeats)
            assert len({tuple(sweep.position(c, path) for path in others) for c in batch.conditions}) == 1
        # one build has one protocol, element for element
        drives = {tuple(sweep.position(c, "protocol.rate") for c in batch.conditions) for batch in build}
        assert len(drives) == 1


def test_a_protocol_too_large_for_one_run_is_cut_too():
    sweep = synapses(elements_per_run=4)
    assert [[batch.conditions for batch in build] for build in sweep.builds] == [[(0, 1), (3, 4)], [(2, 5)]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 0}, r"repeats must be an integer of at least 1, got 0"),
        ({"axes": {}}, r"axes must be lists of values, at least one, got \{\}"),
        ({"axes": {"nothing": [1]}}, r"axes must name fields of model or protocol, got 'nothing' for a ChI"),
        ({"axes": {"I_bias": [1] * second}}, r"ChI.I_bias must have the dimension of M"),
        ({"settings": {"length": 1}}, r"settings must be among .*, got 'length'"),
        ({"protocol": Poisson(rate=[1, 2] * Hz)}, r"protocol must hold no arrays, got 2 elements; use axes"),
        ({"axes": {"dt": [1, 2] * Hz}}, r"dt must have the dimension of s"),
        ({"axes": {"duration": [1, 2] * second}}, r"axes must not be settings as well, got 'duration' in both"),
    ],
)
def test_what_cannot_be_swept(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("changes", [{"model": None}, {"protocol": None}])
def test_what_is_no_model_or_protocol_is_refused(changes):
    with pytest.raises(
        TypeError,
        match=r"model and protocol must be of astro_sim.models.astrocytes and astro_sim.protocols.trains, got",
    ):
        small(**changes)


def test_shared_astrocytes_cannot_be_swept():
    model = TripartiteSynapses(astrocyte_index=np.array([0, 0, 1]))
    with pytest.raises(ValueError, match=r"model must have one astrocyte for each synapse, got an astrocyte_index"):
        Sweep(model=model, axes={"release.U_0__star": [0.3]})
