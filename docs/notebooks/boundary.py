# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One boundary looked at closely
#
# The decision boundary near one digit: where its nearest point is, how it bends there, what a plane through it shows,
# how two images of a class are joined inside its region, and what DeepDIG generates on the boundary between two
# classes.
#
# The network is a run of `bdry train`. Its activation is smooth, because curvature needs second derivatives.

# %%
import subprocess
import sys
import tempfile

import bdry

outputs = tempfile.mkdtemp()
settings = ["dataset=digits", "arch.activation=silu", "training.epochs=20", "probe=[]", "threads=1"]
command = [sys.executable, "-m", "bdry", "train", *settings, f"outputs={outputs}"]
subprocess.run(command, check=True, capture_output=True)
run = bdry.load_runs(outputs).iloc[0]
print(
    f"{run['experiment']}: {run['arch.activation']}, {run['epochs']} epochs, test accuracy {run['test_accuracy']:.2f}"
)
net, dataset = bdry.load_network(run["path"])

# %% [markdown]
# ## The nearest point, and how the boundary bends there
#
# `nearest_refined` looks for the point of the boundary nearest to each image, in float64. At such a point the
# boundary has 63 principal curvatures in the 64 dimensions of a digit. Positive ones bend away from the image.

# %%
import matplotlib.pyplot as plt
import torch
from bdry.geometry import boundary

images, labels = dataset.test.pixels().double(), dataset.test.labels
rng = torch.Generator().manual_seed(0)
with bdry.measuring(net.double()):
    points = boundary.nearest_refined(net, images[:8], rng)
    spectrum = boundary.dense_spectrum(net, points.point, points.own, points.other, num_directions=1)

i = 3
figure, axes = plt.subplots(1, 4, figsize=(8.5, 2.2), layout="constrained", width_ratios=(1, 1, 1, 2.2))
titles = (f"image: {points.own[i]}", f"boundary to {points.other[i]}", f"difference: {points.distance[i]:.2f}")
shown = (images[i], points.point[i], 0.5 + points.point[i] - images[i])
for axis, image, title in zip(axes, shown, titles):
    bdry.figures.show_image(axis, image)
    axis.set_title(title)
axes[3].plot(range(1, 64), spectrum.curvatures.T, color="#bbbbbb", linewidth=0.8)
axes[3].plot(range(1, 64), spectrum.curvatures[i], color="#0072B2")
axes[3].set(xlabel="rank", ylabel="curvature (1 / pixel units)", title="principal curvatures at 8 points")
plt.show()
largest, smallest = spectrum.curvatures[i, 0].item(), spectrum.curvatures[i, -1].item()
print(f"largest {largest:.3f}, smallest {smallest:.3f}, mean {spectrum.mean[i]:.4f}, in 1 / pixel units")

# %% [markdown]
# Few directions bend, most are nearly flat, and the boundary bends towards the image as well as away from it.
#
# ## Planes through the point
#
# Each plane holds the normal, upwards to the image's side, and a tangent: the one that bends most away from the
# image, the one that bends most towards it, a random one. The dashed parabola has the curvature computed above; it
# knows nothing of the labels.

# %%
from matplotlib.colors import ListedColormap

one = torch.tensor([i])
with bdry.measuring(net):
    sections = boundary.curvature_sections(
        net,
        points.take(one),
        boundary.dense_spectrum(net, points.point[one], points.own[one], points.other[one], num_directions=1),
        rng,
        extent=2.0,
        resolution=161,
    )
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.9), layout="constrained", sharey=True)
names = {"max": "bends most away", "min": "bends most towards", "random": "random tangent"}
for axis, (name, section) in zip(axes, sections.items()):
    own = (section.labels[0] == points.own[i]).double()
    other = (section.labels[0] == points.other[i]).double()
    axis.imshow(
        own + 0.5 * (1 - own - other),
        origin="lower",
        extent=[-2.0, 2.0] * 2,
        vmin=0,
        vmax=1,
        cmap=ListedColormap(["#f6c9a8", "#e8e8e8", "#b5d5ea"]),
        interpolation="nearest",
    )
    if name in ("max", "min"):
        along, kappa = torch.linspace(-2.0, 2.0, 81), largest if name == "max" else smallest
        axis.plot(along, -kappa * along**2 / 2, "k--", linewidth=1)
    axis.plot(0, 0, "ko", markersize=3)
    axis.set(title=names[name], xlabel="along the tangent", xlim=(-2.0, 2.0), ylim=(-2.0, 2.0))
axes[0].set_ylabel("along the normal")
figure.suptitle(f"blue: {points.own[i]}, orange: {points.other[i]}, grey: another class", fontsize=9)
plt.show()

# %% [markdown]
# ## A path inside the region
#
# Other digits become the same class by a small perturbation: `towards=` walks to the nearest point of that class. Is
# such a point joined with the true digits of the class by a path that never leaves it? `find_paths` looks for one. What
# it finds is certified at the spacing of its samples; what it does not find proves nothing.

# %%
from bdry.geometry import regions

label = int(points.own[i])
with bdry.measuring(net):
    predicted = net(images).argmax(1)
    true, others = images[predicted == label], images[predicted != label][:60]
    entered = bdry.margins.walk(net, others, clipped=True, towards=torch.full((len(others),), label))
    paths = regions.find_paths(net, true[torch.arange(len(others)) % len(true)], entered.point, step=1e-3)
print(
    f"{len(others)} pairs: {int(paths.straight.sum())} joined by the straight line, {int(paths.found.sum())} by a path"
)
far = int(paths.distance.argmax())
figure, axes = plt.subplots(1, 10, figsize=(8.5, 1.2), layout="constrained")
for axis, image in zip(axes, regions.filmstrip(paths.anchors[far], 10)):
    bdry.figures.show_image(axis, image)
figure.suptitle(f"between the two ends that are farthest apart: to the network each image is a {label}", fontsize=9)
plt.show()

# %% [markdown]
# In this small network the straight line does for every pair. Where it does not, `paths.anchors` has the corners of the
# path; [fawzi2017](../fawzi2017.md) says what larger networks do.
#
# ## DeepDIG: borderline instances between two classes
#
# DeepDIG trains an autoencoder that carries images of one class across the boundary, and a second one that carries
# them back. Between the two lies a point where both classes are equally probable, which bisection finds. Here it goes
# from the digit above to the class beyond its nearest boundary.

# %%
from bdry import deepdig

net.float()
pair = (int(points.own[i]), int(points.other[i]))
train_images, train_labels = dataset.train.pixels(), dataset.train.labels
source, target = (train_images[train_labels == label] for label in pair)
with bdry.measuring(net):
    (trained,) = deepdig.train_pairs(net, train_images, train_labels, [pair], deepdig.Recipe(steps=600), seed=0)
    generate = deepdig.GENERATORS["deepdig"]
    borderline = generate(net, deepdig.PairImages(pair, source, target, trained), seed=0)
    nearest = bdry.margins.walk(
        net, source[borderline.source], clipped=True, towards=torch.full_like(borderline.source, pair[1])
    )
print(f"{pair[0]} to {pair[1]}: {int(borderline.found.success.sum())} instances of {borderline.num_correct} images")
print(
    f"median distance {borderline.distance.median():.2f}; nearest point of that class {nearest.margin.nanmedian():.2f}"
)
figure, axes = plt.subplots(4, 8, figsize=(8.5, 4.4), layout="constrained")
rows = (
    (source[borderline.source], "image"),
    (borderline.on_target, f"as {pair[1]}"),
    (borderline.on_source, f"back as {pair[0]}"),
    (borderline.found.point, "borderline"),
)
for line, (pictures, name) in zip(axes, rows):
    for axis, picture in zip(line, pictures):
        bdry.figures.show_image(axis, picture)
    line[0].set_ylabel(name, fontsize=8)
plt.show()

# %% [markdown]
# DeepDIG's instances look like digits and lie far from their images. The nearest point of the other class is much
# nearer, and looks like the image with a little noise: two answers to two questions about one boundary.
