"""What the authors published about the Covid-19 model, as numbers.

S. T. Radev, F. Graw, S. Chen, N. T. Mutters, V. M. Eichel, T. Baernighausen, U. Koethe (2021),
OutbreakFlow, PLOS Computational Biology 17(10) e1009472. The numbers are those of their published
code with its stored outputs (github.com/stefanradev93/AIAgainstCorona, notebooks
Covid19_Inference_Germany and Covid19_Inference_GermanStates_Amortized): printed tables, or read off
figures, which is said where it is so.
"""

from __future__ import annotations

# Posterior for Germany, 75,000 draws, of which 70,892 had no negative value: median, mean, MAP, 2.5
# %, 97.5 %. MAP is the mode of a Gaussian kernel density of each parameter by itself. A second
# stored run has other MAPs, by about 5 %.
GERMANY = {
    "t1": (7.222, 7.198, 7.350, 4.638, 9.591),
    "t2": (15.004, 15.007, 14.970, 12.985, 17.049),
    "t3": (22.088, 22.098, 21.944, 20.231, 23.990),
    "t4": (65.531, 65.528, 65.482, 63.477, 67.544),
    "dt1": (3.016, 3.139, 2.786, 1.611, 5.340),
    "dt2": (3.045, 3.161, 2.872, 1.652, 5.342),
    "dt3": (3.059, 3.177, 2.835, 1.626, 5.414),
    "dt4": (2.947, 3.075, 2.722, 1.449, 5.434),
    "lambda0": (2.987, 3.119, 2.730, 1.704, 5.310),
    "lambda1": (0.320, 0.336, 0.292, 0.134, 0.632),
    "lambda2": (0.310, 0.325, 0.283, 0.157, 0.582),
    "lambda3": (0.087, 0.090, 0.080, 0.045, 0.150),
    "lambda4": (0.125, 0.135, 0.114, 0.047, 0.277),
    "mu": (0.124, 0.126, 0.121, 0.098, 0.163),
    "A_I": (0.545, 0.545, 0.540, 0.434, 0.657),
    "phi_I": (-0.390, -0.390, -0.400, -0.687, -0.092),
    "A_R": (0.491, 0.490, 0.492, 0.326, 0.648),
    "phi_R": (-1.010, -1.015, -0.951, -2.360, 0.328),
    "A_D": (0.486, 0.485, 0.490, 0.322, 0.642),
    "phi_D": (-1.333, -1.334, -1.291, -2.129, -0.552),
    "L_I": (5.516, 5.539, 5.522, 3.874, 7.348),
    "L_R": (12.890, 12.910, 12.830, 10.728, 15.212),
    "L_D": (11.276, 11.308, 11.408, 9.149, 13.651),
    "E0": (14.331, 18.720, 8.327, 1.195, 61.374),
    "sigma_I": (7.843, 7.916, 7.634, 5.964, 10.314),
    "sigma_R": (10.751, 10.845, 10.635, 8.364, 13.882),
    "sigma_D": (2.527, 2.544, 2.501, 1.947, 3.233),
    "alpha": (0.632, 0.579, 0.793, 0.068, 0.905),
    "beta": (0.263, 0.271, 0.246, 0.141, 0.453),
    "gamma": (0.154, 0.165, 0.139, 0.092, 0.302),
    "eta": (0.307, 0.318, 0.295, 0.178, 0.521),
    "theta": (0.218, 0.216, 0.243, 0.090, 0.334),
    "delta": (0.041, 0.046, 0.029, 0.018, 0.097),
    "d": (0.148, 0.162, 0.094, 0.067, 0.321),
}

# Printed for 2,000 draws.
CORRELATIONS = {
    ("alpha", "theta"): 0.04,
    ("alpha", "eta"): 0.07,
    ("theta", "eta"): -0.23,
    ("delta", "mu"): 0.38,
    ("delta", "d"): -0.85,
    ("mu", "d"): -0.08,
}

# Cumulative counts: observed, median, and the ends of the 50, 90 and 95 % intervals. Read off
# figures, +-2 %.
CUMULATIVE = {
    ("confirmed", "20 May"): (
        178_343,
        178_700,
        157_000,
        203_000,
        129_000,
        245_000,
        118_000,
        265_000,
    ),
    ("confirmed", "11 June"): (
        186_561,
        185_500,
        163_000,
        212_000,
        134_000,
        257_000,
        124_000,
        276_000,
    ),
    ("recovered", "20 May"): (
        156_950,
        155_000,
        135_000,
        176_000,
        111_000,
        213_000,
        102_000,
        228_000,
    ),
    ("recovered", "11 June"): (
        170_945,
        168_000,
        146_000,
        191_000,
        120_000,
        230_000,
        112_000,
        247_000,
    ),
    ("deaths", "20 May"): (8_144, 8_100, 7_150, 9_260, 5_880, 11_200, 5_500, 12_200),
    ("deaths", "11 June"): (8_772, 8_700, 7_650, 9_970, 6_270, 12_100, 5_900, 12_900),
}
# Of 4,840 draws that had no negative value, those that violate the constraints of the model.
INFEASIBLE = 104 / 4_840

# Posterior of each federal state, 2,000 draws: median and 95 % interval of highest density of
# lambda0, alpha, theta and E0. Read off figures, +-1 % of their axes.
STATE_PARAMETERS = ("lambda0", "alpha", "theta", "E0")
STATES = {
    "Baden-Württemberg": (
        (2.88, 1.41, 4.67),
        (0.785, 0.27, 0.93),
        (0.242, 0.12, 0.33),
        (6.2, 0.1, 28),
    ),
    "Bavaria": ((2.06, 1.16, 3.28), (0.684, 0.15, 0.90), (0.220, 0.11, 0.33), (16.6, 0.5, 55)),
    "Berlin": ((1.81, 0.95, 2.99), (0.688, 0.17, 0.90), (0.242, 0.12, 0.34), (14.2, 1.9, 51)),
    "Brandenburg": ((2.42, 1.20, 4.42), (0.844, 0.56, 0.92), (0.197, 0.10, 0.30), (2.8, 0.1, 15)),
    "Bremen": ((2.15, 0.88, 4.05), (0.820, 0.33, 0.93), (0.206, 0.10, 0.32), (2.8, 0.1, 14)),
    "Hamburg": ((2.29, 1.19, 3.78), (0.839, 0.45, 0.93), (0.252, 0.14, 0.35), (3.3, 0.1, 17)),
    "Hesse": ((2.82, 1.29, 4.97), (0.799, 0.29, 0.93), (0.220, 0.11, 0.32), (2.2, 0.1, 11)),
    "Lower Saxony": ((2.62, 1.33, 4.37), (0.772, 0.24, 0.92), (0.241, 0.13, 0.33), (2.7, 0.1, 14)),
    "Mecklenburg-Western Pomerania": (
        (1.41, 0.71, 2.28),
        (0.740, 0.21, 0.91),
        (0.286, 0.16, 0.35),
        (2.0, 0.1, 11),
    ),
    "North Rhine-Westphalia": (
        (2.62, 1.20, 4.67),
        (0.715, 0.19, 0.92),
        (0.210, 0.10, 0.33),
        (10.2, 0.5, 44),
    ),
    "Rhineland-Palatinate": (
        (2.89, 1.49, 5.01),
        (0.813, 0.34, 0.95),
        (0.244, 0.13, 0.33),
        (2.6, 0.1, 12),
    ),
    "Saarland": ((1.66, 0.82, 2.68), (0.849, 0.46, 0.96), (0.244, 0.13, 0.33), (1.5, 0.1, 7)),
    "Saxony": ((2.46, 1.22, 4.19), (0.814, 0.32, 0.94), (0.251, 0.13, 0.34), (1.7, 0.1, 8)),
    "Saxony-Anhalt": ((2.39, 1.07, 4.20), (0.854, 0.49, 0.98), (0.264, 0.16, 0.35), (1.7, 0.1, 11)),
    "Schleswig-Holstein": (
        (2.01, 0.94, 3.34),
        (0.797, 0.33, 0.92),
        (0.250, 0.14, 0.34),
        (4.1, 0.1, 20),
    ),
    "Thuringia": ((2.25, 1.11, 4.16), (0.835, 0.42, 0.93), (0.209, 0.10, 0.32), (2.1, 0.1, 11)),
}
# Printed: over all states and draws.
STATES_MEDIAN_LAMBDA0 = 2.2717
# Of the draws without negative values, the number that violate the constraints, and how many there
# were.
STATES_INFEASIBLE = {
    "Baden-Württemberg": (100, 9847),
    "Bavaria": (128, 9963),
    "Berlin": (4985, 9913),
    "Brandenburg": (4304, 9771),
    "Bremen": (466, 9422),
    "Hamburg": (17875, 19532),
    "Hesse": (1064, 9599),
    "Lower Saxony": (1494, 9691),
    "Mecklenburg-Western Pomerania": (597, 9498),
    "North Rhine-Westphalia": (1810, 9827),
    "Rhineland-Palatinate": (1817, 9759),
    "Saarland": (3161, 9375),
    "Saxony": (1428, 9380),
    "Saxony-Anhalt": (416, 9371),
    "Schleswig-Holstein": (1115, 9902),
    "Thuringia": (4282, 9625),
}
