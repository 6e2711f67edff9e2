"""What every typed answer of the model is made from."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Answer"]


class Answer(BaseModel):
    """Extra fields are ignored: a model that says more than it was asked has still answered."""

    model_config = ConfigDict(extra="ignore", frozen=True)
