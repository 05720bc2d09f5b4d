"""A FUSE file system that answers the kernel's greeting and then nothing: whoever looks at it hangs, as on a dead share.

Whoever waits for it sleeps in the kernel where no signal reaches; ending this process frees them.
"""

import os
import struct
import subprocess
import sys

INIT = 26


def main() -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    command = ["mount", "-i", "-t", "fuse.mute", "-o", options, "mute", sys.argv[1]]
    subprocess.run(command, check=True, pass_fds=[device], capture_output=True)
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode == INIT:
            answer = struct.pack("<IIIIHHIIHHI", 7, 31, 65536, 0, 16, 12, 4096, 1, 1, 0, 0).ljust(64, b"\0")
            os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
            print("mounted", flush=True)


main()
