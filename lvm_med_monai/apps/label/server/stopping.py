"""What runs beside the web server ends before its files are removed."""

from __future__ import annotations

from monailabel.interfaces.utils.app import apps
from monailabel.utils.async_tasks.utils import background_executors, background_processes, stop_background_task


def stop_workers() -> None:
    """End trainings and batches, and the threads that watch a datastore's folder and write notes into it."""
    for executor in background_executors.values():
        executor.shutdown(wait=False, cancel_futures=True)
    for method, running in background_processes.items():
        if any(process.poll() is None for process in list(running.values())):
            stop_background_task(method)
    for executor in background_executors.values():
        executor.shutdown(wait=True)
    for app in apps.values():
        observer = getattr(app.datastore(), "_observer", None)
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join()
