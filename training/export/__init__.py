"""From a trained network to a verified bundle: graphs, int8, proof, gate, publishing."""
