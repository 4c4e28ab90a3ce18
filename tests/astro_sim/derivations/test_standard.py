"""The standard experiments: grouped, sized, refused, and exported; the slow tests simulate."""

import pytest

from astro_sim.derivations.standard import DERIVATIONS, STANDARD, derive_all, experiments
from astro_sim.derivations.verify import verify_curves


def test_experiments_are_grouped_so_that_none_runs_twice():
    groups = {tuple(names): experiment for names, experiment in experiments()}
    assert ("stp_calcium", "stp_calcium_full") in groups
    assert sum(len(names) for names in groups) == len(STANDARD)
    assert [names for names, _ in experiments(only=["ltp", "ltp_macro"])] == [["ltp"], ["ltp_macro"]]


def test_sizes_seeds_and_overrides_reach_the_experiments_that_have_them():
    groups = experiments(n_synapses=130, seed=7, overrides={"gamma_p": "x1.2", "F_lin": "0.2/s"})
    by_name = {name: experiment for names, experiment in groups for name in names}
    assert by_name["ltp"].n_synapses == 130 and by_name["stp_calcium"].n_synapses == 125
    assert by_name["ltp_population"].n_synapses == 132 and by_name["stp_release"].n_synapses == 120
    assert {experiment.seed for experiment in by_name.values()} == {7}
    assert by_name["ltp"].overrides == {"gamma_p": "x1.2"} and by_name["stp_spatial"].overrides == {"F_lin": "0.2/s"}
    assert by_name["stp_release"].overrides == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(only=["stp"]), "only must name curves among .*, got 'stp'"),
        (dict(overrides={"zeta_9": "x2"}), "overrides must name one of .*, got 'zeta_9'"),
        (dict(overrides={"O_P": "1 s"}), "O_P must have the dimension of M/s"),
        (dict(only=["stp_release"], overrides={"O_P": "x2"}), "overrides must name one of Omega_c, .*, got 'O_P'"),
    ],
)
def test_wrong_exports_are_refused_before_anything_runs(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        derive_all(tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_every_standard_curve_has_a_derivation():
    assert {"ltp_alpha0", "ltp_no_gliotransmission"} == set(STANDARD) - set(DERIVATIONS)


@pytest.mark.slow
def test_exporting_twice_gives_the_same_bytes(tmp_path):
    only = ["stp_spatial", "ltp_no_gliotransmission"]
    seen = []
    first = derive_all(tmp_path / "a", only=only, n_synapses=200, progress=lambda *done: seen.append(done))
    again = derive_all(tmp_path / "b", only=only, n_synapses=200, recordings=tmp_path / "recordings", n_jobs=1)
    assert list(first) == list(again) == ["ltp_no_gliotransmission", "stp_spatial"]
    for name in only:
        assert first[name].read_bytes() == again[name].read_bytes()
        assert (tmp_path / "recordings" / f"{name}.nc").stat().st_size > 0
    assert sorted(done for _, done, _ in seen) == [1, 2] and {n for _, _, n in seen} == {2}
    reports = list(verify_curves(first.values()))
    assert [report.path for report in reports] == list(first.values()) and all(report.ok for report in reports)
