# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Margins of my network
#
# How far is each image from the decision boundary of a network, and what does the nearest point beyond it look like?
# The network is any `nn.Module` from images in [0, 1] to logits. This one is trained here, on scikit-learn's digits,
# with torch alone.

# %%
import torch
from sklearn.datasets import load_digits
from torch import nn

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimiser = torch.optim.Adam(net.parameters(), lr=0.005)
for _ in range(30):
    for rows in torch.randperm(1400).split(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimiser.step()
x, y = images[1400:], labels[1400:]

# %% [markdown]
# ## Ten lines
#
# `walk` finds the nearest point with another label that it can. Each column is an image, the point, and their
# difference; the columns go from the smallest margin to the largest.

# %%
import matplotlib.pyplot as plt

import bdry

result = bdry.margins.walk(net, x, norm="l2", clipped=True)
figure, axes = plt.subplots(3, 8, figsize=(8, 3.6), layout="constrained")
for column, i in zip(axes.T, result.margin.argsort()[:: len(x) // 7].tolist()):
    for axis, image in zip(column, (x[i], result.point[i], 0.5 + result.point[i] - x[i])):
        bdry.figures.show_image(axis, image)
    column[0].set_title(f"{result.start_class[i]}: {result.margin[i]:.2f}")
    column[1].set_title(f"{result.boundary_class[i]}")
plt.show()

# %% [markdown]
# ## What the numbers say
#
# The margin starts from the predicted class, so a misclassified image has one too. Where nothing was found `success`
# is false and the margin is nan: say the success rate beside every mean.

# %%
right = result.start_class == y
print(f"found for {result.success.float().mean():.0%} of {len(x)} images; test accuracy {right.float().mean():.2f}")
figure, axis = plt.subplots(figsize=(5, 2.6), layout="constrained")
for rows, name, colour in ((right, "classified right", "#0072B2"), (~right, "misclassified", "#D55E00")):
    axis.hist(result.margin[rows], bins=30, range=(0, 1.2), density=True, alpha=0.7, label=name, color=colour)
axis.set(xlabel="l2 margin, pixel units of [0, 1]", ylabel="density")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## How far to trust them
#
# Every estimator gives an upper bound, the distance of a point that it has found. The smallest of several is the best
# known. What each costs is part of its result.

# %%
import pandas as pd

found = {name: bdry.margins.ESTIMATORS[name](net, x, clipped=True) for name in ("deepfool", "fmn", "walk")}
best = torch.stack([one.margin for one in found.values()]).amin(0)
pd.DataFrame(
    {
        name: {
            "mean above the best known": f"{(one.margin / best - 1).mean():.1%}",
            "passes an image": f"{(one.forwards + one.backwards).double().mean():.0f}",
        }
        for name, one in found.items()
    }
).T

# %% [markdown]
# For ReLU networks there is a lower bound too, which is a proof: no point nearer than `lower` has another label.
# `bracket` gives both.

# %%
both = bdry.margins.bracket(net, x[:100], norm="linf", upper="walk", method="crown")
print(f"median linf margin between {both.lower.median():.3f} and {both.margin.median():.3f}")
