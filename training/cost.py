"""What a run cost: epochs, seconds, seconds of all processors, and parameters."""

from torch import nn

from training.run import Run

Cost = dict[str, float]


def cost(run: Run, network: nn.Module) -> Cost:
    """`epochs`, `seconds` and `cpu` of them as the run logged them, `learned` of all `parameters`.

    What was computed once for all methods, the texts of a frozen encoder, is in none.
    """
    sizes = [(each.numel(), each.requires_grad) for each in network.parameters()]
    return {
        "epochs": len(run.epochs),
        "seconds": sum(each["seconds"] for each in run.epochs),
        "cpu": sum(each.get("cpu", float("nan")) for each in run.epochs),
        "learned": sum(size for size, learns in sizes if learns),
        "parameters": sum(size for size, _ in sizes),
    }
