"""Calls as users write them: no type checker may object, and the verbs accept them."""

from __future__ import annotations

from pathlib import Path

import boxseg

boxseg.label(data="photos", out="labels", checkpoint="model.safetensors")
boxseg.label(data="photos", out="labels")
boxseg.label(data=Path("photos"), out=Path("labels"), method="box", crf=False)
boxseg.label(data={"root": "photos", "split": "val", "limit": 3}, out="labels", method="grabcut")
boxseg.label(data=boxseg.config.Data(root=Path("photos")), out="labels", label={"masks": {"simplify": 1}})
boxseg.label(data="photos", out="labels", method="box", class_map={"cat": "dog"}, formats=["voc", "coco"])
boxseg.label(data="photos", out="labels", label=boxseg.config.Label(method="box"), sigma_xy=40)
boxseg.label(data="photos", out="labels", label={"method": "box", "crf": {"iterations": 5}})
boxseg.label(data="photos", out="labels", label={"method": "box", "crf": boxseg.config.Crf(sigma_rgb=5)})
boxseg.adapt(data="photos", out="adapt", weights="imagenet", epochs=2, margins=(0.1, 0.3))
boxseg.classify(data="photos", out="classify", grid=3, lr=1e-3, milestones=(0.5, 0.8), scale=0.1)
boxseg.classify(data="photos", out="classify", optimiser={"lr": 1e-3}, augment={"crop": 99, "scale": [0.5, 1]})
boxseg.segment(labels="labels", data="photos", out="segment", loss="er", backbone="hf:model")
boxseg.segment(labels=["one", Path("two")], data="photos", out="segment", strong=None, weights=Path("w.pth"))
boxseg.run(data="photos", out="run", classify={"epochs": 3}, segment={"epochs": 2.5}, loggers=["csv", "wandb"])
boxseg.evaluate(checkpoint="m.safetensors", data="photos", tta=False, scales=[1], tile="auto")
boxseg.predict(checkpoint="m.safetensors", images=["a.jpg", Path("b.jpg")], out="out", data=None)
boxseg.convert(source="labels", out="voc", format="voc", classes=("cat", "dog"), data=None)
boxseg.export(checkpoint="m.safetensors", format="onnx")
boxseg.background_masks(data="photos", out="masks")
boxseg.download(dataset="voc", out="voc", only=["val"], mirror=Path("archives"))
boxseg.convert_config(file="stage1.yaml", stage="classify")
boxseg.reproduce(table="losses", data="VOC2012", seeds=[0, 1])
boxseg.report(run="run", max_photos=0)
boxseg.demo(count=8, progress=False)
boxseg.doctor(data="photos", progress=lambda state: print(state.completed, state.left))  # noqa: T201

fallback: int = boxseg.label(data="photos", out="labels").counts["all"].fallback
folder: Path = boxseg.label(data="photos", out="labels", method="box").folder
boxseg.segment(labels=folder, data="photos", out="segment")
notes: list[str] = boxseg.demo().notes()
status: int = boxseg.doctor(data="photos", decode=False).status
network: Path = boxseg.run(data="photos", out="run").network.checkpoint
plan: boxseg.PlanResult = boxseg.run(data="photos", out="run", dry_run=True)
steps: boxseg.ReproducePlan = boxseg.reproduce(table="grid", data="VOC2012", dry_run=True)
shares: tuple[float, ...] = boxseg.predict(checkpoint="m", images="a.jpg", out="out").shares
archive: Path = boxseg.predict(checkpoint="m", data="VOC2012", out="out", submission="voc2012").archive
results: Path = boxseg.doctor(data="VOC2012", submission="results.tgz").results


def maybe(dry_run: bool) -> boxseg.ClassifyResult | boxseg.PlanResult:
    """Return either."""
    return boxseg.classify(data="photos", out="classify", dry_run=dry_run)


def show(result: boxseg.Result) -> list[str]:
    """Take every result."""
    return [table.title for table in result.tables()]


def predict(model: boxseg.BasePredictor) -> dict[str, float]:
    """Use a network."""
    prediction = model("photo.jpg")
    corners: int = prediction.polygons(simplify=0.5)["cat"][0].shape[0]
    return {**prediction.shares, "pixels": float(prediction["cat"].sum()), "corners": corners}


def load() -> boxseg.BasePredictor:
    """Load a network in several ways."""
    boxseg.load("m.safetensors", crf=boxseg.config.Crf(), tile=512)
    boxseg.OnnxPredictor("m.onnx")
    try:
        return boxseg.load(Path("m.safetensors"), device="cpu", tta=True)
    except (boxseg.CheckpointError, boxseg.ConfigError) as error:
        raise SystemExit(str(error)) from error


maybe(True)
show(boxseg.demo())
