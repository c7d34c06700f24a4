"""Exports on the Hugging Face hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwise.errors import UserError, option, require


@dataclass(frozen=True)
class Place:
    """A place on the hub where one may write.

    Args:
        name: as "user/name".
        private: whether nobody else sees it.
        api: `huggingface_hub.HfApi`.
    """

    name: str
    private: bool
    api: Any

    def upload(self, folder: Path) -> str:
        """Make the place if need be, and put the files of a folder there; return its address.

        Raises:
            UserError: the hub refuses, or cannot be reached.
        """
        with _told(self.name):
            self.api.create_repo(self.name, private=self.private, exist_ok=True)
            message = "Model of maskwise"
            self.api.upload_folder(
                repo_id=self.name, folder_path=str(folder), commit_message=message
            )
        return f"https://huggingface.co/{self.name}"


def place(name: str, *, private: bool = True) -> Place:
    """Return a place on the hub, after a look whether one may write there.

    Args:
        name: as "user/name".
        private: whether nobody else is to see it.

    Raises:
        UserError: huggingface_hub is missing, a bad name, no token, or a place that is public.
    """
    hub = require("huggingface_hub", "pushing to the hub", "hub")
    user, _, model = name.partition("/")
    if not (user and model):
        raise UserError(f"{option('push', name)}: a place on the hub is user/name")
    api = hub.HfApi()
    with _told(name):
        api.whoami()
        public = private and api.repo_exists(name) and not api.repo_info(name).private
    if public:
        way_out = "private=False (--public)"
        raise UserError(f"{name} is there and public: give another name, or {way_out}")
    return Place(name, private, api)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell in one line what the hub, or the way there, says."""
    import huggingface_hub.errors as hub

    try:
        yield
    except hub.LocalTokenNotFoundError:
        raise UserError(
            f"cannot push to {name}: there is no token of the hub; get one by 'hf auth login'"
        ) from None
    except (OSError, ValueError) as error:  # errors of HTTP, and of names, are such
        told = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot push to {name}: {told:.300}") from None
