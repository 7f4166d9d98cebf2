"""What can be wrong with a bundle, as a tree.

ChorusError                 everything that this project raises on purpose
├── DeviceMissing           CUDA was asked for and is absent
└── BundleError             a bundle cannot be used; the message names the file and the reason
    ├── BundleMissing       no such folder, name or version
    ├── BundleDamaged       a file is absent, cut short or not the one that the manifest names
    ├── BundleForeign       no manifest, or a manifest of another format
    ├── BundleUnpinned      its manifest is not one that the operator trusts
    └── BundleMismatch      graphs, dimensions or golden answers are not what the manifest promises
"""


class ChorusError(Exception):
    """Everything that Chorus raises on purpose; the message says the fix."""


class DeviceMissing(ChorusError):
    """The device that was asked for is not there."""


class BundleError(ChorusError):
    """A bundle cannot be used."""


class BundleMissing(BundleError):
    """There is no such folder, name or version on the shelf."""


class BundleDamaged(BundleError):
    """A file is absent, cut short, or not the one that the manifest names."""


class BundleForeign(BundleError):
    """The folder holds no manifest, or one of a format that this code cannot read."""


class BundleUnpinned(BundleError):
    """Its manifest is not one that the operator trusts."""


class BundleMismatch(BundleError):
    """What the graphs do is not what the manifest promises."""
