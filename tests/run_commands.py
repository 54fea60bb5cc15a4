"""Which commands of the documentation are run, and with what; and why the others are not."""

from __future__ import annotations

# What users put their own words for.
STAND_INS = {
    "DIR": "VOC2012",
    "data.root=DIR": "data.root=VOC2012",
    "out=DIR": "out=made",
    "checkpoint=…": "checkpoint=runs/first",
    "labels=…": "labels=work/label",
    "images=…": "images=new",
    "format=…": "format=coco",
    "TABLE": "losses",
    "FILE": "stage3_vgg.yml",
    "RUN": "runs/first",
}

# Pages whose commands are run, in this order, and what is run of the others.
WHOLE_PAGES = ("docs/index.md", "docs/crf.md")
SINGLE = (
    "boxseg doctor VOC2012 out=work-large decode=false",
    "boxseg label data=VOC2012 out=work-large/label",
    "boxseg label method=box data=VOC2012 out=runs/box",
    "boxseg label method=grabcut data=VOC2012 out=runs/grabcut devices=2",
    "boxseg label checkpoint=runs/c data=VOC2012 out=runs/bap",
    "boxseg adapt labels=runs/bap data=VOC2012 out=runs/adapt",
    'boxseg segment "labels=[runs/bap,runs/grabcut/labels]" data=VOC2012 out=runs/fused',
    "boxseg label method=box data=VOC2012 data.split=val data.limit=40 out=b",
    'boxseg segment "labels=[runs/x/label,sam/masks]" data=VOC2012 out=runs/mixed',
    "boxseg segment labels=runs/x/label data=VOC2012 data.split=train_aug strong=ground-truth "
    "strong_split=train out=runs/semi",
    "boxseg predict checkpoint=runs/first images=photos out=predictions",
    'boxseg predict checkpoint=runs/first "images=photos/**/*.jpg" out=predictions tta=false crf=false',
    "boxseg convert runs/first/label coco format=coco",
    "boxseg convert predictions coco-predicted format=coco",
    "boxseg convert work/label sure format=masks maps=true",
    "boxseg segment labels=work/label data=photos out=runs/checked",
    "boxseg convert work/label to-cvat format=cvat",
    "boxseg convert work/label to-label-studio format=label-studio",
    "boxseg convert masks yolo format=yolo-seg data=VOC2012",
    'boxseg convert masks yolo2 format=yolo-seg images=photos "classes=[cat,dog]"',
    "boxseg convert outlined voc format=voc which=ground-truth",
    "boxseg convert outlined tight format=coco which=ground-truth tighten=true",
    "boxseg convert runs/first/label tight2 format=coco tighten=true",
    'boxseg label data=tiles out=field-masks "label.formats=[geotiff]"',
    "boxseg convert field-masks on-the-map format=geotiff",
    "boxseg predict checkpoint=runs/first images=tiles out=mapped geotiff=true",
    "boxseg predict checkpoint=runs/first data=clip.mp4 every=10 out=clip-masks",
    "boxseg predict checkpoint=runs/first data=clip.mp4 every=10 out=clip-frames frames=true",
    "boxseg convert clip-frames clip-coco format=coco",
    "boxseg convert work/label for-yolo format=yolo-seg",
    "boxseg convert work/label for-semantic format=masks",
    "boxseg label data=photos out=many label.store=shards",
    "boxseg segment labels=many data=photos out=runs/many",
    "boxseg convert many many-coco format=coco",
    "boxseg report many max_photos=2000 per_page=200",
    'boxseg label data=traffic "data.classes=[dog,cat]" out=pets',
    'boxseg label data=traffic "data.merge={truck: car, bus: car}" out=cars',
    'boxseg run data=traffic "data.merge={truck: vehicle, car: vehicle}" "data.classes=[vehicle]" out=roads',
    'boxseg label checkpoint=runs/first data=VOC2012 out=labels "label.formats=[coco,yolo-seg]"',
    "boxseg classify -c voc_efficientnet_lite0 data=VOC2012 out=c classify.epochs=4 classify.batch=16 "
    "classify.augment.crop=257",
    "boxseg classify -c voc_efficientnet_lite0 data=VOC2012 out=g classify.epochs=4 classify.batch=16 "
    "classify.augment.crop=257 pooling=gap",
    "boxseg label checkpoint=c data=VOC2012 data.split=val out=l",
    "boxseg label checkpoint=c data=VOC2012 data.split=val out=w background=activation",
    "boxseg label checkpoint=g data=VOC2012 data.split=val out=gl",
    "boxseg evaluate -c voc_vgg16 checkpoint=runs/segment data.root=DIR data.split=val",
    "boxseg background-masks data.root=DIR out=DIR",
    "boxseg convert-config stage3_vgg.yml",
    "boxseg demo",
    "boxseg reproduce all data=VOCdevkit/VOC2012 out=runs/paper dry_run=true",
    "boxseg download voc out=DIR",
)

SMALL = (
    "-c voc_efficientnet_lite0 data=VOC2012 out=runs/small classify.batch=16 classify.augment.crop=225 "
    "segment.batch=16 segment.augment.crop=225 segment.epochs=15"
)
SMALL_TABLES = (
    f"pseudo-labels {SMALL}",
    f"grid {SMALL}",
    f"losses {SMALL} segment.optimiser.lr=0.002",
    f"final-vgg {SMALL} segment.optimiser.lr=0.002",
)

# What is trained by the recipes of PASCAL VOC, or stands on models that are fetched, in this order.
TRAININGS = (
    "boxseg classify -c voc_efficientnet_lite0 data=VOC2012 out=c8 classify.epochs=8 classify.batch=16 "
    "classify.augment.crop=257 classify.optimiser.lr=0.001 classify.optimiser.new_lr=10",
    "boxseg label checkpoint=c8 data=VOC2012 out=l8",
    "boxseg segment -c voc_efficientnet_lite0 data=VOC2012 labels=l8 out=nal segment.epochs=12 "
    "segment.batch=16 segment.augment.crop=257 segment.optimiser.lr=0.002",
    "boxseg segment -c voc_efficientnet_lite0 data=VOC2012 labels=l8 out=ce segment.epochs=12 segment.batch=16 "
    "segment.augment.crop=257 segment.optimiser.lr=0.002 loss=ce_crf",
    "boxseg segment -c voc_efficientnet_lite0 data=VOC2012 labels=ground-truth out=gt segment.epochs=12 "
    "segment.batch=16 segment.augment.crop=257 segment.optimiser.lr=0.002 loss=ce_crf",
    "boxseg label -c coco_from_voc checkpoint=c data=COCO out=lc",
    "boxseg label -c coco_from_voc checkpoint=runs/voc_vgg16/classify data=COCO data.split=train2017 "
    "out=runs/coco",
    "boxseg predict -c voc_vgg16 checkpoint=runs/voc_vgg16/segment data=VOC2012 data.split=test out=runs/test "
    "submission=voc2012 comp=comp6",
    "boxseg reproduce pseudo-labels data=VOCdevkit/VOC2012 out=runs/paper",
    'boxseg reproduce losses -c voc_efficientnet_lite0 data=VOCdevkit/VOC2012 scale=0.5 "seeds=[0,1,2]" '
    "out=runs/small",
    *(f'boxseg reproduce {table} "seeds=[0,1,2]"' for table in SMALL_TABLES),
    "boxseg run data=photos out=runs/first dry_run=true",
    # What a table in docs/from-bana.md has.
    "boxseg classify -c voc_vgg16 data.root=DIR out=runs/classify",
    "boxseg label -c voc_vgg16 checkpoint=runs/classify data.root=DIR out=runs/label",
    "boxseg segment -c voc_vgg16 labels=runs/label data.root=DIR out=runs/segment",
    "boxseg run -c voc_vgg16 data.root=DIR out=runs/voc",
    "boxseg download coco out=DIR",
    "boxseg doctor DIR",
)
# Of models that are fetched: tiny ones of random weights, as transformers would read them from a folder.
FETCHED = (
    "boxseg run data=photos out=runs/dino backbone=hf:facebook/dinov2-small freeze=true",
    "boxseg run data=photos out=runs/convnext backbone=hf:facebook/convnext-tiny-224",
    "boxseg run data=photos out=runs/mine backbone=hf:models/my-swin",
    "boxseg run data=photos out=runs/t backbone=timm:convnext_tiny",
    "boxseg label method=sam sam=facebook/sam2.1-hiera-tiny data=VOC2012 out=runs/sam",
)

# Of the commands in blocks, those that are not run, by what tells them, and why. They are parsed all the same.
NOT_RUN = {
    "cluster=tcp:": "tests/spreading/test_cluster.py does, with such a scheduler and workers",
    "dask scheduler": "so does it this",
    "dask worker": "so does it this",
    "s3://": "tests/remote does, with such a store",
    "pip install": "changes the environment",
    "python benchmarks/": "tests/benchmarks runs each of them in its smallest form",
    "boxseg schema >": "tests/jobs/test_schema.py does",
    "boxseg label data=photos out=masks": "docs/index.md runs it, into another folder",
    "boxseg run data=photos out=runs/first ": "so does it this",
    "boxseg export checkpoint=runs/first out=model.onnx": "so does it this, from another checkpoint",
    "python tests/": "the tests beside these scripts run them with fewer tries, or do the same",
    "corrections=corrections.json": "tests/end_to_end/test_correction_round_trip.py runs this on such a file",
    "redraw=true": "so does it this",
    "strong=corrected/": "tests/end_to_end/test_corrections.py runs this on files of both programs",
}

# The page about a package of one's own: test_docs_extending runs it.
EXTENDING = "docs/extending.md"

# Schedules of seconds, for whichever verb has the option; appended to what is written.
SHORT = (
    "scale=0.01",
    "adapt.batch=2",
    "adapt.iterations=2",
    "classify.batch=2",
    "classify.iterations=2",
    "classify.augment.crop=49",
    "segment.batch=2",
    "segment.iterations=2",
    "segment.augment.crop=49",
    "evaluate.scales=[1]",
    "label.crf.iterations=1",
    "evaluate.crf.iterations=1",
    "trainer.workers=0",
    "data.limit=3",
    "report.max_photos=2",
)
# Packages of extras without which a command is passed over.
NEEDS = {
    **{"boxseg export": "onnxruntime", "grabcut": "cv2", "clip": "av"},
    **{"tiles": "rasterio", "geotiff": "rasterio", "many": "pyarrow"},
}

# And blocks of Python, by what tells them.
PYTHON_NEEDS = {
    **{"onnx": "onnxruntime", "supervision": "supervision"},
    **{
        "webdataset": "webdataset",
        "import fiftyone": "fiftyone",
        "torchgeo": "torchgeo",
        "SLURM": "dask_jobqueue",
    },
}

# Tables are trained with one seed, and networks without weight files, which are fetched.
EXTRA = {"demo": ("count=4",), "download": ("dry_run=true",), "reproduce": ("seeds=[0]", "model.weights=none")}

PROMISED = (
    "work/label/masks.json",
    "work/label/labels/train_0000.png",
    "work/bap/y_crf/train_0000.png",
    "work/label/reliable/train_0000.png",
    "work/label/confidence/train_0000.png",
    "sure/reliable/train_0000.png",
    "clip-masks/labels/clip/000010_00h00m01s000.png",
    "on-the-map/masks/train/train_0000.tif",
    "mapped/geotiff/train_0000.tif",
    "sure/confidence/train_0000.png",
    "work/label/labelmap.json",
    "work/coco/annotations/instances_train.json",
    "predictions/overlays/val_0000.jpg",
    "runs/first/report.html",
    "made/BgMaskfromBoxes/train_0000.png",
    "stage3_vgg.boxseg.yaml",
)
