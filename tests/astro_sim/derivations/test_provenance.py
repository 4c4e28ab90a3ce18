"""The command in a curve file makes that curve again."""

from astro_sim.derivations.ltp import LTPExperiment
from astro_sim.derivations.provenance import command


def test_commands():
    assert command("ltp", "ltp", LTPExperiment()) == "astro-sim curves --only ltp"
    assert command("ltp_alpha0", "ltp", LTPExperiment(alpha=0.0)) == "astro-sim curves --only ltp_alpha0"
    changed = LTPExperiment(seed=3, overrides={"O_P": "1 uM/s"})
    assert command("ltp", "ltp", changed) == "astro-sim curves --only ltp --seed 3 --set 'O_P=1 uM/s'"
    python = command("mine", "ltp", LTPExperiment(burst_rate_hz=2.0))
    assert python == "astro_sim.derivations.derive_ltp(LTPExperiment(burst_rate_hz=2.0), name='mine')"
