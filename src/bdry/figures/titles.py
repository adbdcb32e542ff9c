"""What each figure and table of a paper shows, in a line: for titles and for `bdry figures --help`, by stable names."""

from __future__ import annotations

# in the order in which they are listed and drawn
TITLES = {
    "mickisch2020": {
        "margin_evolution": "Margins over training, with clean and robust error",
        "R1": "Margins under standard training",
        "R2": "Margins of correctly classified and misclassified images",
        "R3": "Margins under standard and adversarial training",
        "R4": "Distribution of margins at moments of training",
        "R5": "Margins and distances along random directions",
        "T1": "Table: margins at the start, the peak and the end of training",
        "T2": "Table: margins of misclassified and of correctly classified images",
        "trend": "Table: a row a run, split, norm and subset",
        "transfer": "Margins in one norm after training against another",
        "calibration": "Calibration, and confidence against margin",
        "noise": "Accuracy under noise, against the margin",
        "controls": "Margins over training in the controls",
        "estimators": "The same margins by several estimators",
        "factors": "Logit gap and gradient over training, and their quotient",
    },
    "li2018": {
        "convergence": "Angle of the last layer to the SVMs, and what its margin lacks",
        "slowness": "Angle of the last layer to the SVMs against the number of steps",
        "maps": "Regions of the network and of the SVMs",
        "bias": "Where the boundary stands between two classes",
        "overlap": "Support vectors among the images of lowest margin",
        "margin_histograms": "Margins of the last layer and of its SVM",
        "solver": "Seconds and certified gap of the SVM solver",
        "pair_angles": "Angle to the SVM for each pair of classes",
    },
    "karimi2020": {
        "strips": "Borderline instances of each method",
        "embedding": "Borderline instances among the features",
        "bisection": "How bisection closes in on the boundary",
        "segments": "Predicted class between borderline instances",
        "success": "How bisections end",
        "idc": "Complexity of the boundary in input space",
        "distance": "Distance of borderline instances to their images",
        "alpha": "DeepDIG by the weight of its class term",
        "pairs": "Complexity and success for each pair of classes",
    },
    "fawzi2017": {
        "filmstrips": "Images along paths inside a region",
        "paths": "Length and anchors of paths inside regions",
        "convexity": "Convex combinations that stay in their region",
        "profile": "Principal curvatures of the boundary",
        "sections": "Planes through the boundary's nearest points",
        "families": "On which side of its tangent plane the boundary lies",
        "sensitivity": "Curvature by the scale of the method",
        "shared_rho": "Curvature of unseen images along shared directions",
        "shared_directions": "Shared directions as images",
        "shared_energy": "Share of perturbations in few directions",
        "shared_noise": "Labels changed by noise in subspaces",
        "detect_signs": "Curvature seen from natural and perturbed images",
        "detect_roc": "Detection of perturbed images by curvature",
        "detect_recovery": "Recovery of a perturbed image's class",
        "curvature_over_training": "Curvature of the boundary over training",
        "regions_over_training": "Classification regions over training",
    },
}
_BY_NAME = {name: title for of_paper in TITLES.values() for name, title in of_paper.items()}


def titled(name: str, of_what: str) -> str:
    """The title of the figure `name`: what it shows, and of which data set, network or run."""
    return f"{_BY_NAME.get(name, name)}: {of_what}"
