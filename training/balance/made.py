"""The balance that a configuration asks for."""

from training.balance.average import Average
from training.balance.balance import Balance
from training.balance.learned import Famo, GradNorm, Uncertainty
from training.balance.scalar import SCALARIZERS, Scalar
from training.balance.surgery import WEIGHTINGS, Surgery
from training.config import Config
from training.model.network import Network
from training.sections import RETRIEVAL
from training.team import SOLO, Team

ALONE = {
    "fixed": Balance, "uncertainty": Uncertainty, "dwa": Average, "famo": Famo, "gradnorm": GradNorm,
}  # fmt: skip


def made(config: Config, network: Network, team: Team = SOLO) -> Balance:
    """For the configuration's tasks, and those who train them together."""
    balance = _made(config, network)
    balance.team = team
    return balance


def _made(config: Config, network: Network) -> Balance:
    kind, own = config.training.balance, {name: task.weight for name, task in config.tasks.items()}
    if config.retrieval:
        own[RETRIEVAL] = config.retrieval.weight
    heads = [
        each for part in (network.heads, network.text_heads, network.readout) for each in part.parameters()
    ]
    if kind in WEIGHTINGS:
        return Surgery(own, kind, heads)
    return Scalar(own, kind) if kind in SCALARIZERS else ALONE[kind](own)
