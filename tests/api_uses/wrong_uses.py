"""Mistakes that both type checkers report, each on the line with the comment; never run."""

from __future__ import annotations

from pathlib import Path

import boxseg

boxseg.lable(data="photos", out="labels")  # wrong: no such verb
boxseg.label(data="photos", out="labels", gird=3)  # wrong: misspelt option
boxseg.label(data="photos", out="labels", gamma=3)  # wrong: option of another verb
boxseg.label(out="labels")  # wrong: no data
boxseg.label("photos", "labels")  # wrong: options are keywords
boxseg.label(data=3, out="labels")  # wrong: no path
boxseg.label(data={"root": "photos", "splt": "val"}, out="labels")  # wrong: misspelt key
boxseg.label(data={"root": 3}, out="labels")  # wrong: no path
boxseg.label(data="photos", out="labels", crf="no")  # wrong: neither true nor false
boxseg.label(data="photos", out="labels", label={"crf": {"iteration": 3}})  # wrong: misspelt key below another
boxseg.label(data="photos", out="labels", background="none")  # wrong: no such background
boxseg.run(data="photos", out="run", grid=3)  # wrong: the grid of classify or of label?
boxseg.run(data="photos", out="run", classify={"pooling": "bop"})  # wrong: no such pooling
boxseg.run(data="photos", out="run", model=boxseg.config.Crf())  # wrong: another section
boxseg.run(data="photos", out="run", dry_run=True).network.exists()  # wrong: a plan has none
boxseg.classify(data="photos", out="classify", lr="fast")  # wrong: no number
boxseg.convert(source="labels", out="voc")  # wrong: no format
boxseg.convert(source="labels", out="voc", format="voc", classes="cat")  # wrong: one text, not several
boxseg.evaluate(data="photos", tile="automatic")  # wrong: neither a number nor auto
boxseg.download(dataset="pascal", out="voc")  # wrong: no such data set
boxseg.demo(data="photos")  # wrong: it makes its own
boxseg.export(checkpoint="m", format="onnx", lr=3)  # wrong: it has no sections
boxseg.doctor(data="photos").folder.exists()  # wrong: no such attribute
boxseg.doctor(data="photos", submission="r.tgz").dataset.samples.count(3)  # wrong: of a data set only
boxseg.predict(checkpoint="m", images="a.jpg", out="out").archive.exists()  # wrong: of a submission only
boxseg.doctor(data="photos", progress="bar")  # wrong: neither true nor false nor a function
boxseg.convert(source="labels", out="voc", format="voc", labels="y_crf")  # wrong: it is which
boxseg.load("m.safetensors")("photo.jpg")[1]  # wrong: no name of a class
boxseg.load("m.safetensors", gpu=True)  # wrong: it is device="gpu"
boxseg.load("m.safetensors")("photo.jpg").label.max()  # wrong: it is labels
boxseg.config.Crf(sigma=3)  # wrong: no such option
boxseg.BoxDataset(root="photos")  # wrong: other fields are missing
title: str = boxseg.report(run="run").file  # wrong: a path
count: int = boxseg.label(data="photos", out="labels").tables()  # wrong: a list
path: Path = boxseg.background_masks(data="photos", out="masks").background  # wrong: a share
