"""Processes and Jupyter kernels for the tests, forked from one process that has imported torch, fastai and the
package. A new interpreter takes four seconds for these imports,
which is longer than most notebooks take for their cells. Nothing else is shared: each fork has its own modules, names
and folder."""
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from multiprocessing import forkserver
from unittest import mock

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

INLINE = 'module://matplotlib_inline.backend_inline'                     # what ipykernel sets for its plots
FORKS = multiprocessing.get_context('forkserver')
FORKS.set_forkserver_preload(['fastai.tabular.all', 'fastai.collab', 'movielens_ce.use.cli',
                              'movielens_ce.compare.plots', 'movielens_ce.use.recommend', 'ipykernel.kernelapp'])

ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1')
PERSONAL = ('MPLBACKEND', 'MATPLOTLIBRC', 'PYTHONWARNINGS', 'PYTHONOPTIMIZE', 'PYTHONDEVMODE', 'PYTHONSTARTUP',
            'PYTHONINSPECT', 'COLUMNS', 'LINES', 'NO_COLOR', 'FORCE_COLOR')


def own_environment():
    """The environment of the processes that tests start:
    one thread, and nothing of a person's that changes what Python and its libraries show."""
    return {k: v for k, v in os.environ.items() if k not in PERSONAL} | ONE_THREAD


def prepared(env, folder, log, function, args):
    """In the fork:
    call a function as in a new process with this environment, in this folder, what it prints going into a file."""
    os.setsid()
    if log:
        for stream in (1, 2): os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    import matplotlib
    import numpy as np
    np.random.seed()                                                     # not the state that all forks inherit
    matplotlib.rcParams['backend'] = env.get('MPLBACKEND', 'agg')
    function(*args)


def ensure_running():
    "Start the process that is forked, unless it runs already."
    with mock.patch.dict(os.environ, own_environment(), clear=True), mock.patch.object(sys, 'warnoptions', []):
        forkserver.ensure_running()


def start(function, *args, env=None, folder='.', log=None):
    "Call a function in a fork, which leads a process group of its own."
    ensure_running()
    process = FORKS.Process(target=prepared, args=(dict(env or own_environment()), str(folder), log and str(log),
                                                   function, args))
    process.start()
    return process


def finished(function, *args, **kwargs):
    "Call a function in a fork and wait for its end: (exit status, what it printed on both streams)."
    with tempfile.NamedTemporaryFile() as log:
        process = start(function, *args, log=log.name, **kwargs)
        process.join()
        return process.exitcode, log.read().decode()


def as_script(module, *args):
    "What `python -m module args` does."
    sys.argv[1:] = args
    runpy.run_module(module, run_name='__main__', alter_sys=True)


def serve(connection_file):
    "What `python -m ipykernel_launcher -f connection_file` does."
    from ipykernel.kernelapp import IPKernelApp
    # it ends when its parent does
    IPKernelApp.launch_instance(['-f', connection_file, f'--IPKernelApp.parent_handle={os.getppid()}'])


class Process:
    "One of multiprocessing's processes with the methods of subprocess's."
    stdin = stdout = stderr = None
    def __init__(self, process): self.process, self.pid = process, process.pid
    def poll(self): return self.process.exitcode
    def send_signal(self, number): os.kill(self.pid, number)
    def kill(self): self.send_signal(signal.SIGKILL)
    def terminate(self): self.send_signal(signal.SIGTERM)
    def wait(self):
        self.process.join()
        return self.poll()


class Provisioner(LocalProvisioner):
    async def launch_kernel(self, cmd, *, env, cwd, **kwargs):
        self.process = Process(start(serve, self.parent.connection_file, env=env | dict(MPLBACKEND=INLINE), folder=cwd))
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class KernelManager(AsyncKernelManager):
    "Starts kernels by forking."
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.provisioner = Provisioner(parent=self, kernel_id=self.kernel_id, kernel_spec=self.kernel_spec)
