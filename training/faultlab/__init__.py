"""Records real servers under real faults, so that the labels come from what was done to them and not from their words.

A recording begins with a clean part in which every client succeeds and only planned changes happen; then faults are
injected one after another, each probed until a client is served again. Nothing here imports torch or the daemon.

    process    every process, mount and directory of a run, and their end
    recorder   log files → lines with an arrival time
    load       clients that run for ever, in as many lanes as asked
    scenario   what a system promises to the lab
    runner     the order of a run, and what makes it invalid
    recording  the result on disk, and back
    systems/   one module per system
"""
