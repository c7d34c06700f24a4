"""Which files are pictures, by the endings of their names."""

from pathlib import Path

USUAL = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".avif"),
    *(".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".pcx"),
    *(".sgi", ".qoi"),
)
"""endings that say that a folder holds pictures"""
RARE = (
    *(".avifs", ".blp", ".bw", ".cur", ".dcx", ".dds", ".fit", ".fits", ".flc", ".fli", ".ftc"),
    *(".ftu", ".gbr", ".icb", ".icns", ".ico", ".im", ".j2c", ".jpc", ".jpf", ".jpx", ".mpo"),
    *(".msp", ".pcd", ".pfm", ".psd", ".pxr", ".ras", ".rgb", ".rgba", ".vda", ".vst", ".xbm"),
    ".xpm",
)
"""other endings that Pillow reads; elsewhere they mean other things"""
FOREIGN = (
    *(".heic", ".heif", ".jxl", ".exr", ".svg", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf"),
    *(".raf", ".rw2"),
)
"""pictures that Pillow does not read, or of which it reads a small preview"""
ZIP = ".zip"
TARS = (
    *(".tar", ".tgz", ".txz", ".tbz", ".tbz2", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"),
    ".tzst",
)
PACKED = (
    ZIP,
    ".tar",
    ".tgz",
    ".txz",
    ".tbz",
    ".tbz2",
    ".gz",
    ".xz",
    ".bz2",
    ".7z",
    ".rar",
    ".zst",
)
"""last endings of files that hold others"""
PICTURES = frozenset((*USUAL, *RARE, *FOREIGN))


def is_picture(path: Path) -> bool:
    """Say whether a file is a picture by its name, also one that cannot be read."""
    return path.suffix.lower() in PICTURES


def unreadable_ending(path: Path) -> str:
    """Return what is wrong with a file that Pillow cannot read by its ending, or ""."""
    suffix = path.suffix.lower()
    if suffix not in FOREIGN:
        return ""
    from PIL import Image

    known = suffix in Image.registered_extensions()  # by a plugin
    return "" if known else f"{suffix} is not read: convert it"


def is_archive(path: Path) -> bool:
    """Say whether a file is an archive of those that may hold pictures, by its name.

    >>> is_archive(Path("a.tar.gz")), is_archive(Path("B.ZIP")), is_archive(Path("c.gz"))
    (True, True, False)
    """
    return path.name.lower().endswith((ZIP, *TARS))
