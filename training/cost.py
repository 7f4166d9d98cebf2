"""What a run cost: epochs, seconds, seconds of all processors, and parameters."""

from torch import nn

from training.run import Run

Cost = dict[str, float]


def cost(run: Run, network: nn.Module) -> Cost:
    """`epochs`, `seconds` and `cpu` of them as the run logged them, a refit's too; `learned` of all `parameters`.

    What was computed once for all methods, the texts of a frozen encoder, is in none.
    """
    sizes = [(each.numel(), each.requires_grad) for each in network.parameters()]
    epochs = [*run.epochs, *run.again.epochs]
    return {
        "epochs": len(epochs),
        "seconds": sum(each["seconds"] for each in epochs),
        "cpu": sum(each.get("cpu", float("nan")) for each in epochs),
        "learned": sum(size for size, learns in sizes if learns),
        "parameters": sum(size for size, _ in sizes),
    }
