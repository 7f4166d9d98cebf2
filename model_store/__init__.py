"""The contract between training and serving, and the shelf where bundles stand."""
