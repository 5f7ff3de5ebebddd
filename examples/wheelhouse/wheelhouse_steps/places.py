"""Where everything is. Every file that a step writes is below `Places.out`; nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent
ROOT = EXAMPLE.parent.parent


@dataclass(frozen=True)
class Places:
    """The layout of the output folder."""

    out: Path = ROOT / "build" / "wheelhouse"

    @property
    def tools(self) -> Path:
        """The environment with pytest and the build backends."""
        return self.out / "tools"

    @property
    def tools_python(self) -> Path:
        return self.tools / "bin" / "python"

    @property
    def wheels(self) -> Path:
        return self.out / "wheels"

    @property
    def index(self) -> Path:
        return self.out / "index.html"

    @property
    def temporary(self) -> Path:
        return self.out / "tmp"

    def archive_folder(self, package: str) -> Path:
        """Holds the source archive of `package` and nothing else; kept from run to run."""
        return self.out / "sources" / package

    def source(self, package: str) -> Path:
        return self.out / "unpacked" / package

    def building(self, package: str) -> Path:
        return self.out / "building" / package

    def environment(self, package: str) -> Path:
        return self.out / "environments" / package

    def built(self, package: str) -> Path:
        """What `build` says about the wheel that it made."""
        return self.out / "reports" / f"built-{package}.json"

    def shards(self, package: str) -> Path:
        """Holds one report a shard."""
        return self.out / "reports" / f"tested-{package}"
