import subprocess
import sys

# Programs are started beside gRPC as pyspark starts Java: by a fork, which runs a function first.
_STARTS = """
import runners
import concurrent.futures, subprocess
import grpc

server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{port}")).result(60)
ends = [subprocess.run(["true"], preexec_fn=lambda: None).returncode for _ in range(300)]
print("not started:", sum(map(bool, ends)), flush=True)
server.stop(None).wait()
"""


def test_a_program_that_is_started_beside_grpc_starts() -> None:
    # Without the settings of `runners`, one in a hundred ended before the program began.
    result = subprocess.run([sys.executable, "-c", _STARTS], capture_output=True, text=True, check=True)
    assert result.stdout == "not started: 0\n"
