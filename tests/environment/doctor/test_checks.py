"""Each fault of a machine is found, alone, at its level, with what mends it; a machine that is well has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_machine import (
    GIB,
    GPU,
    WITH_GPUS,
    WITHOUT_GPU,
    database,
    device,
    disk,
    driver,
    faults,
    gpu,
    kaggle,
    limits,
    shown,
    torch,
)

from kagglerun.environment.doctor.checks import CHECKS, examine
from kagglerun.environment.doctor.finding import Level, worst
from kagglerun.environment.doctor.gpu_states import AllReduceState
from kagglerun.environment.doctor.probe import LoaderUse, NotebookState, PackageState, Probe

NO_KERNEL = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
BARE_HOST = driver(WITHOUT_GPU, cards=2)
IN_CONTAINER = driver(WITHOUT_GPU, cards=1, module="580.82.07", container="docker")
COLAB = NotebookState("Colab", "Tesla T4", 3600.0, 12 * 3600.0, True, persistent=True)
KAGGLE = replace(COLAB, platform="Kaggle", accelerator="Tesla T4, Tesla T4")


def in_session(state: NotebookState) -> Probe:
    return replace(WITHOUT_GPU, notebook=state)


def packages(*states: PackageState) -> Probe:
    return replace(WITHOUT_GPU, packages=states)


def summed(failure: str) -> Probe:
    return replace(WITH_GPUS, all_reduce=AllReduceState(2, "nccl", failure=failure))


FAULTS: dict[str, tuple[Probe, str, str, str, str]] = {
    # Python and packages
    "old Python": (
        replace(WITHOUT_GPU, python=replace(WITHOUT_GPU.python, version=(3, 10, 4))),
        *("error", "python", "3.10.4", "apt install python3.12"),
    ),
    "the system's Python": (
        replace(WITHOUT_GPU, python=replace(WITHOUT_GPU.python, in_environment=False)),
        *("warning", "python", "of the system", "-m venv"),
    ),
    "a missing package": (
        packages(PackageState("timm", "1.0.22", None, True)),
        *("error", "packages", "missing: timm", "setup"),
    ),
    "another version": (
        packages(PackageState("aiohttp", "3.1", "3.0", True), PackageState("torch", "2.15.0", "2.9.0", True)),
        *("warning", "packages", "2 of 2 packages differ: torch 2.9.0 (lock: 2.15.0), aiohttp", "make -C"),
    ),
    "another version in a session": (
        replace(packages(PackageState("torch", "2.15.0", "2.9.0", True)), notebook=KAGGLE),
        *("warning", "packages", "torch 2.9.0 (lock: 2.15.0)", "kagglerun notebook CONFIG --for kaggle --train"),
    ),
    "no lock": (packages(), "warning", "packages", "not there", "make -C"),
    # the driver
    "no driver": (BARE_HOST, "error", "driver", "2 GPUs on the bus, but no driver", "modprobe nvidia"),
    "no driver on a container's host": (
        driver(BARE_HOST, container="docker"),
        *("error", "driver", "no driver on the host", "install the driver"),
    ),
    "a container without GPUs": (IN_CONTAINER, "error", "driver", "container got no GPU", "--gpus all"),
    "a container without the driver's libraries": (
        driver(IN_CONTAINER, nodes=("nvidia0",), nvml_error="NVML Shared Library Not Found"),
        *("error", "driver", "libraries are not in this docker container", "nvidia-container-toolkit"),
    ),
    "a container without libcuda": (
        driver(container="podman", has_libcuda=False),
        *("error", "driver", "libcuda.so.1 is not in this podman container", "DRIVER_CAPABILITIES=compute"),
    ),
    "libcuda missing": (driver(has_libcuda=False), "error", "driver", "libcuda.so.1 cannot be loaded", "install"),
    "an updated driver": (
        driver(nvml_error="Driver/library version mismatch", version=None, cuda=None),
        *("error", "driver", "the old one is still loaded (module 580.82.07)", "reboot"),
    ),
    "a driver that does not answer": (
        driver(nvml_error="Unknown Error", version=None, cuda=None),
        *("error", "driver", "NVML says: Unknown Error", "nvidia-smi"),
    ),
    "a driver too old": (
        driver(version="550.54.15", cuda=(12, 4)),
        *("error", "driver and torch", "speaks CUDA 12.4, torch 2.15.0 is of CUDA 13.2: too old", "driver 580.65.06"),
    ),
    "a driver a little older": (
        driver(version="580.65.06", cuda=(13, 0)),
        *("warning", "driver and torch", "compiled on the spot", "training.compile=off"),
    ),
    "torch without CUDA": (
        torch(version="2.15.0+cpu", cuda=None, is_available=False),
        *("error", "driver and torch", "built without CUDA", "make setup"),
    ),
    "another CUDA first": (
        driver(library_path=("/usr/local/cuda/lib64",)),
        *("warning", "libraries", "/usr/local/cuda/lib64", "unset LD_LIBRARY_PATH"),
    ),
    "GPUs hidden": (driver(visible=""), "warning", "visible GPUs", "is '': trainings", "unset CUDA_VISIBLE_DEVICES"),
    "GPUs hidden by a number": (
        torch(driver(visible="-1"), is_available=False, devices=()),
        *("warning", "visible GPUs", "is '-1': trainings", "unset CUDA_VISIBLE_DEVICES"),
    ),
    "a GPU that is not there": (
        driver(visible="0,7"),
        *("error", "visible GPUs", "names 7, and there are 2 GPUs", "CUDA_VISIBLE_DEVICES=0,1"),
    ),
    # each GPU
    "a lost GPU": (gpu(lost="GPU is lost"), "error", "GPU 0", "does not answer: GPU is lost", "--gpu-reset -i 0"),
    "memory errors": (gpu(uncorrected_errors=3), "error", "GPU 0", "3 memory errors", "--gpu-reset"),
    "memory to be taken out of use": (gpu(remap_pending=True), "warning", "GPU 0", "out of use", "--gpu-reset"),
    "an exclusive GPU": (gpu(compute_mode="exclusive"), "warning", "GPU 0", "EXCLUSIVE", "-c DEFAULT"),
    "a prohibited GPU": (gpu(compute_mode="prohibited"), "error", "GPU 0", "PROHIBITED", "-c DEFAULT"),
    "a shared GPU": (
        gpu(memory_used=20 * GIB, other_processes=2),
        *("warning", "GPU 0", "shared: 20.0 GiB are taken (2 processes of others", "nvidia-smi -i 0"),
    ),
    "MIG without slices": (gpu(mig=True), "error", "GPU 0 slices", "has no slice", "-cgi 0 -C"),
    "MIG": (gpu(mig=True, slices=7), "warning", "GPU 0 slices", "7 slices: a trial each", "sweep.workers=auto"),
    "a hot GPU": (gpu(celsius=91.0), "warning", "GPU 0", "91 °C", "fans"),
    "a throttled GPU": (gpu(slowdowns=("heat (hardware)",)), "warning", "GPU 0", "lower clock: heat", "PERFORMANCE"),
    "few lanes": (gpu(link_width=4), "warning", "GPU 0", "4 of 16 PCIe lanes", "riser"),
    "a lowered power limit": (gpu(power_limit_watts=350.0), "warning", "GPU 0", "350 of 700 W", "-pl 700"),
    "two models": (gpu(name="NVIDIA L4"), "warning", "GPUs", "NVIDIA H100 80GB HBM3, NVIDIA L4", "--folds-parallel"),
    # torch and what it computes
    "no torch": (torch(version=None, devices=()), "error", "torch", "not installed", "make setup"),
    "torch that cannot be imported": (
        torch(version=None, devices=(), failure="ImportError: libcudart.so.13: cannot open shared object file"),
        *("error", "torch", "library of CUDA", "LD_LIBRARY_PATH"),
    ),
    "torch that sees no GPU": (
        torch(is_available=False, devices=(), why_not="CUDA unknown error - this may be due to an incorrectly set up"),
        *("error", "torch", "sees no GPU: CUDA unknown error", "torch.zeros"),
    ),
    "a GPU too old for torch": (
        device(model="Tesla P100-PCIE-16GB", capability=(6, 0)),
        *("error", "kernels for cuda:0", "capability 6.0; torch 2.15.0 carries sm_75", "TORCH=2.6.0"),
    ),
    "a GPU too new for torch": (
        device(model="NVIDIA Next", capability=(15, 0)),
        *("error", "kernels for cuda:0", "capability 15.0", "newer torch"),
    ),
    "wrong results": (device(error_share=0.02), "error", "product on cuda:0", "computes wrongly", "ECC"),
    "no numbers": (device(error_share=float("nan")), "error", "product on cuda:0", "computes wrongly", "ECC"),
    "other bits each time": (device(repeats=False), "error", "product on cuda:0", "other bits", "overclocking"),
    "a device that fails": (device(failure=NO_KERNEL), "error", "product on cuda:0", "without kernels", "doctor"),
    "cuDNN that fails": (
        device(cudnn_failure="RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        *("error", "cuDNN on cuda:0", "cuDNN could not be loaded", "LD_LIBRARY_PATH"),
    ),
    "GPUs that cannot add up": (
        summed("DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:77, ncclUnhandledCudaError"),
        *("error", "NCCL", "GPUs could not reach one another", "NCCL_P2P_DISABLE=1"),
    ),
    "a wrong sum": (summed("the sum is 2.0 to 3.0, and should be 3.0"), "error", "NCCL", "should be 3.0", "P2P"),
    # limits
    "little shared memory": (limits(shared_memory=64 << 20), "warning", "shared memory", "64 MiB", "remount"),
    "little shared memory in a container": (
        limits(driver(WITH_GPUS, container="docker"), shared_memory=64 << 20),
        *("error", "shared memory", "bus error", "--shm-size=8g"),
    ),
    "no shared memory": (limits(shared_memory=None), "warning", "shared memory", "there is no", "mount"),
    "shared memory used up": (limits(shared_memory_free=1 << 20), "warning", "shared memory", "1 MiB are free", "ls"),
    "little memory": (limits(memory_available=2 * GIB), "warning", "memory", "2.0 of 256.0 GiB", "ps aux"),
    "hardly any memory": (limits(memory_available=GIB // 2), "error", "memory", "0.5 of", "ps aux"),
    "a share of the CPU": (limits(cores_quota=4.0), "warning", "CPU", "4 of 16 cores", "training.cpu_threads=4"),
    "too many threads": (torch(WITHOUT_GPU, threads=64), "warning", "CPU", "starts 64 threads", "OMP_NUM_THREADS"),
    "a busy machine": (limits(load=40.0), "warning", "CPU", "40 programs want 16 cores", "top"),
    "few cores for the GPUs": (
        torch(limits(WITH_GPUS, cores=2, cores_allowed=2), threads=2),
        *("warning", "CPU", "2 cores for 2 GPUs", "more cores"),
    ),
    "too many loader workers": (
        limits(loaders=(LoaderUse("a.yaml", 8, None, 4),)),
        *("warning", "loaders of a.yaml", "8 loader workers for each of 4, and 16 cores", "loader_workers=4"),
    ),
    "few open files": (limits(open_files=(1024, 1 << 20)), "warning", "ulimits", "1024 open files", "ulimit -n 65536"),
    "few open files for good": (limits(open_files=(1024, 1024)), "warning", "ulimits", "1024", "limits.conf"),
    "few open files for a container": (
        limits(driver(WITHOUT_GPU, container="docker"), open_files=(1024, 1024)),
        *("warning", "ulimits", "1024", "--ulimit nofile=65536"),
    ),
    "few processes": (limits(processes=512), "warning", "ulimits", "512 processes", "ulimit -u"),
    "small files only": (limits(file_size=GIB), "warning", "ulimits", "1.0 GiB at most", "ulimit -f"),
    "few addresses": (limits(address_space=32 * GIB), "warning", "ulimits", "32 GiB of addresses", "ulimit -v"),
    "little CPU time": (limits(cpu_seconds=3600), "error", "ulimits", "after 3600 s", "ulimit -t"),
    # disks
    "little disk": (disk("workspace", free=10 * 10**9), "warning", "disk of workspace", "10.0 of 1000 GB", "du -xh"),
    "no disk": (disk("workspace", free=10**9), "error", "disk of workspace", "1.0 of", "-w /other"),
    "little room for temporary files": (
        disk("temporary files", free=10**9),
        *("warning", "disk of temporary files", "1.0 of 100 GB", "TMPDIR"),
    ),
    "no inodes": (disk("workspace", free_inodes_share=0.0), "warning", "disk of workspace", "inodes", "df -i"),
    "a disk that cannot be written": (
        disk("workspace", is_writable=False),
        *("error", "disk of workspace", "no file can be made", "mount"),
    ),
    "a disk of the network": (disk("workspace", kind="nfs4"), "warning", "disk of databases", "nfs4", "sync push"),
    # Kaggle
    "no credentials": (
        kaggle(origin=None, missing="no Kaggle credentials were found", accepted=None),
        *("warning", "Kaggle credentials", "no Kaggle credentials", "settings/api"),
    ),
    "credentials that others read": (
        kaggle(exposed="/home/me/.kaggle/kaggle.json"),
        *("warning", "Kaggle credentials", "other users", "chmod 600 /home/me/.kaggle/kaggle.json"),
    ),
    "credentials refused": (
        kaggle(accepted=False, refusal="Kaggle does not accept the token"),
        *("error", "Kaggle", "are refused: Kaggle does not", "settings/api"),
    ),
    "Kaggle busy": (kaggle(accepted=None, refusal="no answer"), "warning", "Kaggle", "not known: no answer", "doctor"),
    "Kaggle out of reach": (
        kaggle(reachable=False, accepted=None, unreachable_because="its name is not found", clock_ahead=None),
        *("warning", "Kaggle", "cannot be reached: its name", "HTTPS_PROXY"),
    ),
    "a clock behind": (kaggle(clock_ahead=-100.0), "warning", "clock", "100 s behind", "set-ntp"),
    "a wrong clock": (kaggle(clock_ahead=4000.0), "error", "clock", "4000 s ahead of", "set-ntp"),
    # databases
    "a damaged database": (
        database(damage="database disk image is malformed"),
        *("error", "MLflow database", "malformed", "track sync --all"),
    ),
    "a damaged copy of the studies": (
        database("studies", damage="malformed"),
        *("error", "studies database", "damaged", "trials.jsonl"),
    ),
    "a locked database": (database(locked=True), "warning", "MLflow database", "locked", "fuser -v /w/mlflow.db"),
    "an older schema": (database(schema="a"), "warning", "MLflow database", "brought up to date", "kagglerun ui"),
    "an older schema of studies": (
        database("studies", schema="a"),
        "warning",
        "studies database",
        "schema a",
        "upgrade",
    ),
    "a newer schema": (database(schema="c", is_newer=True), "error", "MLflow database", "newer library", "make setup"),
    "a server that is down": (database(failure="no answer"), "error", "MLflow database", "no answer", "mlflow_uri"),
    "a PostgreSQL that is down": (
        database("studies", failure="connection refused"),
        *("error", "studies database", "refused", "KAGGLERUN_STUDIES_URL"),
    ),
    "settings that cannot be read": (
        database("settings", label="/w/settings.yaml", failure="/w/settings.yaml: unknown key"),
        *("error", "settings", "unknown key", "mend or remove /w/settings.yaml"),
    ),
    # Colab and Kaggle
    "Colab without a GPU": (
        in_session(replace(COLAB, accelerator="none")),
        *("warning", "Colab accelerator", "no GPU", "Change runtime type"),
    ),
    "Kaggle with a TPU": (
        in_session(replace(KAGGLE, accelerator="TPU")),
        *("warning", "Kaggle accelerator", "a TPU", "GPU T4 x2"),
    ),
    "little time left": (
        in_session(replace(KAGGLE, session_seconds=11.5 * 3600)),
        *("warning", "Kaggle session", "0.5 of 12 h left", "sync push"),
    ),
    "no internet": (in_session(replace(KAGGLE, internet=False)), "warning", "Kaggle internet", "off", "Internet on"),
    "nothing kept": (in_session(replace(COLAB, persistent=False)), "warning", "Colab storage", "lost", "drive.mount"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_level_and_what_mends_it(name: str) -> None:
    probe, level, check, found, mend = FAULTS[name]
    matching = [finding for finding in faults(probe) if finding.check == check]
    assert len(matching) == 1, shown(faults(probe))
    assert matching[0].level.name.lower() == level
    assert found in matching[0].found, shown(matching)
    assert mend in (matching[0].mend or ""), shown(matching)
    assert worst(examine(probe)) >= matching[0].level


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_the_only_one_that_is_told(name: str) -> None:
    probe = FAULTS[name][0]
    assert len(faults(probe)) == 1, shown(faults(probe))


@pytest.mark.parametrize("probe", [WITHOUT_GPU, WITH_GPUS, in_session(COLAB), in_session(KAGGLE)])
def test_a_machine_that_is_well_has_no_fault(probe: Probe) -> None:
    assert not faults(probe), shown(faults(probe))
    assert worst(examine(probe)) is Level.OK


def test_every_finding_says_what_was_looked_for_and_every_fault_what_mends_it() -> None:
    for probe in (WITHOUT_GPU, WITH_GPUS, *(fault[0] for fault in FAULTS.values())):
        for finding in examine(probe):
            assert finding.looked_for
            assert finding.found
            assert (finding.mend is not None) == (finding.level > Level.OK), finding
            assert "\n" not in finding.found


def test_every_check_has_a_fault_that_it_finds() -> None:
    for check in CHECKS:
        assert any(finding.level for fault in FAULTS.values() for finding in check(fault[0])), check.__name__


def test_commands_can_be_pasted_where_paths_hold_spaces() -> None:
    exposed, database_path = "/home/my name/kaggle.json", "/my work/mlflow.db"
    told = shown([*faults(kaggle(exposed=exposed)), *faults(database(label=database_path, damage="malformed"))])
    assert "chmod 600 '/home/my name/kaggle.json'" in told
    assert "mv '/my work/mlflow.db' " in told


def test_the_environment_of_another_torch_is_mended_with_that_torch() -> None:
    python = replace(WITHOUT_GPU.python, executable="/home/me/kagglerun/.venv-torch2.6.0/bin/python")
    (found,) = faults(replace(packages(PackageState("timm", "1.1", "1.0", True)), python=python))
    assert found.mend == "make -C /home/me/kagglerun setup TORCH=2.6.0"


def test_gpus_that_can_add_up_are_told_so() -> None:
    well = replace(WITH_GPUS, all_reduce=AllReduceState(2, "nccl", seconds=1.5, bytes_per_second=3e11))
    told = [finding for finding in examine(well) if finding.check == "NCCL"]
    assert [finding.level for finding in told] == [Level.OK]
    assert "300.0 GB/s a device" in told[0].found
    apart = replace(well, torch=replace(well.torch, peers=((0, 1),)))
    assert any("1 pairs of GPUs speak through" in finding.found for finding in examine(apart))


def test_a_gpu_that_is_well_is_described() -> None:
    told = next(finding for finding in examine(WITH_GPUS) if finding.check == "GPU 0")
    assert told.found == f"{GPU.name}, 80 GiB, compute capability 9.0"
