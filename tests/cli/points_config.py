"""A perceptron on points in the plane: four steps an epoch, a moment on any machine."""

batch_size = 5
num_epochs = 3
lr = 0.1

model = dict(type="helpers.TinyModel", dropout=0.3)

float_predictor = dict(
    type="Predictor",
    model=model,
    data_loader=dict(type="DataLoader", dataset=dict(type="helpers.Points"), batch_size=7),
    metrics=[dict(type="Accuracy")],
)
float_trainer = dict(
    type="Trainer",
    model=model,
    data_loader=dict(
        type="DataLoader",
        dataset=dict(type="helpers.Points", noise=0.1),
        sampler=dict(type="ShuffledSampler"),
        batch_size=batch_size,
    ),
    optimizer=dict(type="torch.optim.SGD", lr=lr, momentum=0.9),
    num_epochs=num_epochs,
    callbacks=[
        dict(type="LrUpdater", schedule=dict(type="CosineLr")),
        dict(type="StatsMonitor", interval_steps=2),
        dict(type="Validation", predictor=float_predictor),
        dict(type="Checkpoint", best="val/acc"),
    ],
)
