"""What a bundle says of itself: its first member, which lists all others (models; no I/O)."""

from pydantic import Field

from stack.evidence.record import Frozen
from stack.serving.errors import ModelChangedError
from stack.serving.models import NAME_PATTERN, SHA256_PATTERN

INDEX, SUMS, ENTRY, LICENCE, SIGNATURE = "bundle.json", "SHA256SUMS", "catalog.json", "LICENCE.txt", "model.sig"


class Member(Frozen):
    """A file of the bundle, under its plain name."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=SHA256_PATTERN)


class BundledModel(Frozen):
    name: str = Field(pattern=NAME_PATTERN)
    about: tuple[Member, ...] = Field(description="Catalog entry, licence note, signature if there is one")
    files: tuple[Member, ...] = Field(description="The model's folder, its manifest included")

    @property
    def signed(self) -> bool:
        return any(member.name == SIGNATURE for member in self.about)


class Index(Frozen):
    schema_version: str = Field(default="stackproof.bundle/v1", pattern=r"^stackproof\.bundle/v1$")
    models: tuple[BundledModel, ...] = Field(min_length=1)

    def members(self) -> list[tuple[str, Member]]:
        """Path in the tar file and member, in the order of the file; ModelChangedError when a path comes twice."""
        listed = [(f"{model.name}/{member.name}", member) for model in self.models for member in model.about]
        listed += [(f"{model.name}/files/{member.name}", member) for model in self.models for member in model.files]
        if len({path for path, _ in listed}) != len(listed):
            raise ModelChangedError("bundle: two members have the same name")
        return listed

    @property
    def total_bytes(self) -> int:
        return sum(member.size_bytes for _, member in self.members())

    def sums(self) -> bytes:
        """As `sha256sum -c` reads them after unpacking with tar."""
        return "".join(f"{member.sha256}  {path}\n" for path, member in self.members()).encode()
