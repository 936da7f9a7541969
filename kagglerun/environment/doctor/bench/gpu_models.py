"""What GPU models are published to reach.

Sources, by the letter beside each row, all NVIDIA's: D, the model's datasheet; A, "NVIDIA Ampere GA102 GPU
Architecture" (appendix); L, "NVIDIA Ada GPU Architecture" (appendix); B, "NVIDIA RTX Blackwell GPU Architecture"
(appendix); T, "NVIDIA Turing GPU Architecture" (appendix). Figures are of dense matrices (datasheets often print
those with sparsity, twice as much), of products that add up in float32, at the boost clock. They are never reached for
long: what is usual is in `judge.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuModel:
    """Published figures of a model; None where it has no such units.

    Attributes:
        name: what it is called.
        pattern: matches NVML's name of it.
        fp32: products of float32, in TFLOP/s.
        tf32: of float32 by tensor cores.
        fp16: of float16.
        bf16: of bfloat16.
        memory: bandwidth of its memory, in GB/s.
        watts: its power limit from the factory; small ones cannot hold their clock.
        source: where the figures are from.
    """

    name: str
    pattern: str
    fp32: float
    tf32: float | None
    fp16: float | None
    bf16: float | None
    memory: float
    watts: int
    source: str

    def flops(self, number_format: str) -> float | None:
        """Operations a second in a format: "fp32", "tf32", "fp16" or "bf16"."""
        published: float | None = getattr(self, number_format)
        return None if published is None else published * 1e12


MODELS: tuple[GpuModel, ...] = (
    GpuModel("B200", r"\bB200\b", 75, 1125, 2250, 2250, 7700, 1000, "D"),
    GpuModel("H200 NVL", r"H200 NVL", 60, 417.5, 835.5, 835.5, 4800, 600, "D"),
    GpuModel("H200", r"\bG?H200\b(?! NVL)", 67, 494.5, 989.5, 989.5, 4800, 700, "D"),
    GpuModel("H100 NVL", r"H100 NVL", 60, 417.5, 835.5, 835.5, 3900, 400, "D"),
    GpuModel("H100 PCIe", r"H100 PCIe", 51, 378, 756, 756, 2000, 350, "D"),
    GpuModel("H100 SXM", r"H100 (?:80GB HBM3|SXM)", 67, 494.5, 989.5, 989.5, 3350, 700, "D"),
    GpuModel("H20", r"\bH20\b", 44, 74, 148, 148, 4000, 400, "D"),
    GpuModel("A100 80GB SXM", r"A100-SXM4-80GB|A100-SXM-80GB", 19.5, 156, 312, 312, 2039, 400, "D"),
    GpuModel("A100 80GB PCIe", r"A100 80GB PCIe|A100-PCIE-80GB", 19.5, 156, 312, 312, 1935, 300, "D"),
    GpuModel("A100 40GB", r"A100-(?:SXM4|SXM|PCIE|PG509)-?\w*", 19.5, 156, 312, 312, 1555, 250, "D"),
    GpuModel("A40", r"\bA40\b", 37.4, 74.8, 149.7, 149.7, 696, 300, "D"),
    GpuModel("A30", r"\bA30\b", 10.3, 82, 165, 165, 933, 165, "D"),
    GpuModel("A10G", r"\bA10G\b", 31.5, 35, 70, 70, 600, 300, "D"),
    GpuModel("A10", r"\bA10\b", 31.2, 62.5, 125, 125, 600, 150, "D"),
    GpuModel("L40S", r"\bL40S\b", 91.6, 183, 362, 362, 864, 350, "D"),
    GpuModel("L40", r"\bL40\b", 90.5, 90.5, 181, 181, 864, 300, "D"),
    GpuModel("L4", r"\bL4\b", 30.3, 60, 121, 121, 300, 72, "D"),
    GpuModel("T4", r"\bT4\b", 8.1, None, 65, None, 320, 70, "D"),
    GpuModel("V100S", r"V100S", 16.4, None, 130, None, 1134, 250, "D"),
    GpuModel("V100 SXM2", r"V100-SXM", 15.7, None, 125, None, 900, 300, "D"),
    GpuModel("V100 PCIe", r"V100-(?:PCIE|FHHL)", 14, None, 112, None, 900, 250, "D"),
    GpuModel("P100 12GB", r"P100-PCIE-12GB", 9.3, None, 18.7, None, 549, 250, "D"),
    GpuModel("P100 SXM2", r"P100-SXM", 10.6, None, 21.2, None, 732, 300, "D"),
    GpuModel("P100", r"P100", 9.3, None, 18.7, None, 732, 250, "D"),
    GpuModel("RTX PRO 6000 Blackwell Max-Q", r"RTX PRO 6000 .*Max-Q", 110, 219, 438, 438, 1792, 300, "D"),
    GpuModel("RTX PRO 6000 Blackwell Server", r"RTX PRO 6000 .*Server", 120, 234, 468, 468, 1597, 600, "D"),
    GpuModel("RTX PRO 6000 Blackwell", r"RTX PRO 6000", 125, 252, 504, 504, 1792, 600, "D"),
    GpuModel("RTX 6000 Ada", r"RTX 6000 Ada", 91.1, 182.1, 364.2, 364.2, 960, 300, "L"),
    GpuModel("RTX A6000", r"RTX A6000", 38.7, 77.4, 154.8, 154.8, 768, 300, "A"),
    GpuModel("RTX A5000", r"RTX A5000", 27.8, 55.6, 111.1, 111.1, 768, 230, "D"),
    GpuModel("RTX A4000", r"RTX A4000", 19.2, 38.3, 76.7, 76.7, 448, 140, "D"),
    GpuModel("Quadro RTX 6000", r"Quadro RTX [68]000", 16.3, None, 130.5, None, 672, 260, "T"),
    GpuModel("Titan RTX", r"TITAN RTX", 16.3, None, 130.5, None, 672, 280, "T"),
    GpuModel("RTX 5090", r"RTX 5090(?! D)", 104.8, 104.8, 209.5, 209.5, 1792, 575, "B"),
    GpuModel("RTX 5080", r"RTX 5080", 56.3, 56.3, 112.6, 112.6, 960, 360, "B"),
    GpuModel("RTX 5070 Ti", r"RTX 5070 Ti", 43.9, 43.9, 87.9, 87.9, 896, 300, "B"),
    GpuModel("RTX 5070", r"RTX 5070(?! Ti)", 30.9, 30.9, 61.7, 61.7, 672, 250, "B"),
    GpuModel("RTX 4090", r"RTX 4090(?! D)", 82.6, 82.6, 165.2, 165.2, 1008, 450, "L"),
    GpuModel("RTX 4080", r"RTX 4080(?! SUPER)", 48.7, 48.7, 97.5, 97.5, 717, 320, "L"),
    GpuModel("RTX 4070 Ti", r"RTX 4070 Ti(?! SUPER)", 40.1, 40.1, 80.2, 80.2, 504, 285, "D"),
    GpuModel("RTX 4070", r"RTX 4070(?! Ti| SUPER)", 29.1, 29.1, 58.3, 58.3, 504, 200, "D"),
    GpuModel("RTX 3090 Ti", r"RTX 3090 Ti", 40, 40, 80, 80, 1008, 450, "D"),
    GpuModel("RTX 3090", r"RTX 3090(?! Ti)", 35.6, 35.6, 71, 71, 936, 350, "A"),
    GpuModel("RTX 3080 Ti", r"RTX 3080 Ti", 34.1, 34.1, 68.2, 68.2, 912, 350, "D"),
    GpuModel("RTX 3080", r"RTX 3080(?! Ti)", 29.8, 29.8, 59.5, 59.5, 760, 320, "A"),
    GpuModel("RTX 3070", r"RTX 3070(?! Ti)", 20.3, 20.3, 40.6, 40.6, 448, 220, "A"),
    GpuModel("RTX 2080 Ti", r"RTX 2080 Ti", 13.4, None, 53.8, None, 616, 250, "T"),
)
"""The first whose pattern is found in a name is the model."""

_OTHER_THAN_NAMED = re.compile(r"laptop|max-q(?!.*workstation)|mobile|notebook|^grid |-\d+[abcq]$", re.IGNORECASE)
"""GPUs of notebooks share a name with faster ones; a part of one that a hypervisor gives (vGPU) has its name."""


def model_of(name: str) -> GpuModel | None:
    """The published figures of a GPU; None for one that is not in the table.

    Args:
        name: as NVML and torch give it, e.g. "NVIDIA H100 80GB HBM3".
    """
    if _OTHER_THAN_NAMED.search(name):
        return None
    return next((model for model in MODELS if re.search(model.pattern, name)), None)
