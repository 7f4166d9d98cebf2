"""The endpoints, one file a family, each with its request and answer models."""
