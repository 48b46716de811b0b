"""What a picture is of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipeline_core import Image, Model, Table, operation
from pipeline_models.vision.reading import As, Reading, one_answer, reader

COLUMNS = ("image", "rank", "label", "score")


def _table(image: Image, model: Model, *, reading: Reading = Reading(), **_: Any) -> Table:  # noqa: B008  frozen
    reader(model, reading).check(image)
    return Table(COLUMNS, ())


@operation(infer=_table, aliases=("recognize", "image_classification", "tag"))
def classify(
    image: Image,
    model: Model,
    *,
    top: Annotated[int, Field(ge=1, le=1000, description="how many classes are told of each picture")] = 5,
    reading: As = Reading(),  # noqa: B008  frozen
) -> Table:
    """The most probable classes of each picture: `load_model` with name digits-classifier, or another.

    A row for each picture of the batch and each of its `top` classes: `image`, its place in the batch; `rank` from 1;
    `label`; and `score`, its probability (the softmax of what the model answers with).

    Pictures of any size are brought to the model's, or to `reading.size`, whole: 'crop' them before where only a part is
    meant. The bundled one wants a digit that fills its picture, bright on dark.

    Convention: sides are stretched unless `reading.fit` says else; gray is luma of Rec. 709; transparent is seen as
    black. Values are taken as sRGB; scene-linear pictures are refused.
    """
    reads = reader(model, reading)
    network = reads.network(image.device)
    rows: list[tuple[Any, ...]] = []
    for window in reads.windows(image):
        shares = one_answer(network(window.pixels), model, 2, "classify").softmax(1)
        best = shares.topk(min(top, shares.shape[1]), dim=1)
        for i, (scores, places) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            rows += [
                (window.first + i, rank, reads.label(place), score)
                for rank, (score, place) in enumerate(zip(scores, places, strict=True), 1)
            ]
    return Table(COLUMNS, tuple(rows))
