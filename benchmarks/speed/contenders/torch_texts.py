"""Text vectors as most teams serve them: sentence-transformers on torch behind FastAPI, one thread.

The encoder that the bundle was trained on, with the projection that training put behind it: the vectors are those of
the bundle, but for its int8.
"""

import os

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling


class Request(BaseModel):
    """One text."""

    query: str


class Answer(BaseModel):
    """Its unit vector."""

    vector: list[float]


def load(encoder: str, projection: str) -> SentenceTransformer:
    """Transformer, mean pooling, projection, unit length."""
    transformer, weights = Transformer(encoder), np.load(projection)
    out, width = weights["weight"].shape
    dense = Dense(width, out, activation_function=torch.nn.Identity())
    dense.linear.load_state_dict({name: torch.from_numpy(weights[name]) for name in ("weight", "bias")})
    return SentenceTransformer(
        modules=[transformer, Pooling(width, "mean"), dense, Normalize()], device="cpu"
    )


torch.set_num_threads(1)
model = load(os.environ["SPEED_ENCODER"], os.environ["SPEED_PROJECTION"])
app = FastAPI()


@app.post("/recommend")
def embed(request: Request) -> Answer:
    vector = model.encode(request.query, show_progress_bar=False)
    return Answer(vector=vector.tolist())


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(os.environ["SPEED_PORT"]), loop="uvloop", http="httptools", access_log=False,
        log_level="warning",
    )  # fmt: skip
