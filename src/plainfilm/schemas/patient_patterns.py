"""Patterns in file names that may be patients."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from plainfilm.base.command_line import shell_word


class PatientPattern(BaseModel):
    """A --patient-pattern that is proposed and not applied.

    `groups`: its keys; `images`: those that have one, of the images without a patient key; `straddling`: groups with
    images in two given folders; `almost_unique`: hardly an image shares its key, but a proposed number follows it that
    may count the images of each patient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    pattern: str
    groups: int
    images: int
    median_images_per_group: float
    straddling: int
    almost_unique: bool = False

    @property
    def option(self) -> str:
        """The option as it is typed in a shell."""
        return f"--patient-pattern {shell_word(self.pattern)}"

    def sentence(self) -> str:
        """'9 groups, 98 images, median 10 images a group; 9 groups are in two given folders'."""
        across = f"{self.straddling} {'groups are' if self.straddling != 1 else 'group is'} in two given folders"
        unique = "; almost unique in these images, yet more likely the patient than the number after it"
        return (
            f"{self.groups} groups, {self.images} images, median {self.median_images_per_group:g} a group; {across}"
            f"{unique if self.almost_unique else ''}"
        )
