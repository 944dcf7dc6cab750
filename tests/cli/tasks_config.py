"""Two loaders in one step: three pictures of one and four of the other."""

digits = dict(
    type="DigitsDataset",
    split="val",
    transform=[dict(type="torchvision.transforms.v2.RandomAffine", degrees=10)],
)
float_trainer = dict(
    type="Trainer",
    model=dict(type="helpers.TinyModel"),
    data_loader=dict(
        type="MultiTaskDataLoader",
        loaders=dict(
            few=dict(type="DataLoader", dataset=digits, batch_size=3, drop_last=True),
            more=dict(
                type="DataLoader",
                dataset=digits | dict(split="train"),
                sampler=dict(type="ShuffledSampler"),
                batch_size=4,
            ),
        ),
        tasks=dict(more=["digit", "shape"]),
        ratios=dict(more=2),
        length=100,
    ),
    optimizer=dict(type="torch.optim.SGD", lr=0.1),
    num_epochs=3,
    seed=5,
)
