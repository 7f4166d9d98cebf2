from typing import get_args

import pytest

from training.balance.balance import Balance
from training.balance.made import made
from training.sections import TrainingConfig

KINDS = get_args(TrainingConfig.model_fields["balance"].annotation)


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_the_configuration_is_a_balance_of_its_tasks(workbench, kind):
    bench = workbench(training={"balance": kind})
    balance = made(bench.dataset.config, bench.network)
    assert balance.own == dict.fromkeys(bench.dataset.config.tasks, 1.0)
    assert (type(balance) is Balance) == (kind == "fixed")
