"""Records real servers under real faults, so that the labels come from what was done to them and not from their words.

A recording has clean time, in which every client succeeds and only planned changes happen, before, between and after
faults that are injected one after another, each probed until a client is served again. Nothing here imports torch or
the daemon.

to record
    systems/      one module per system, behind one protocol
    scenario      what a system promises to the lab
    runner        the order of a run, and what makes it invalid
    campaign      many runs side by side
    load          clients that run for ever, in as many lanes as asked
    recorder      log files → lines with an arrival time
    process       every process, mount and directory of a run
    guard         their end, whatever ends the run
    isolation     a network, mounts and shared memory of the run's own
    network       ports, and cuts between them
    disk          a small disk that can be filled
to use what was recorded
    recording     the result of a run, on disk and back
    labels        the rule that says which lines speak of a fault
    labels_audit  what was labelled, for a person to check
    confounds     how well a detector would do that reads no words
    datasheet     tables over all recordings
    release       the recordings that ship, with labels and splits
"""
