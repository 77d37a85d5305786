"""Records real servers under real faults, so that labels come from injected faults and not from the words of a line.

A recording has fault-free time before, between and after its faults. In fault-free time every client succeeds and only
planned changes happen. Faults are injected one after another, and each is probed until clients are served again. No
module here imports torch or the daemon.

to record
    systems/      one package per system, behind one protocol
    scenario      the interface between lab and system
    runner        the order of a run, and the checks that make it invalid
    campaign      many runs at the same time
    load          clients that run repeatedly, in a number of lanes
    recorder      log files → lines with an arrival time
    process       every process, mount and directory of a run
    guard         their end, whatever ends the run
    isolation     a network, mounts and shared memory of the run's own
    network       ports, and cuts between them
    disk          a small disk that can be filled
to use recordings
    recording     the result of a run, on disk and back
    labels        the rule that labels lines
    labels_audit  labelled lines, for a person to check
    confounds     the figures of a detector that reads no words
    datasheet     tables over all recordings
    release       the recordings of the repository, with labels and splits
"""
