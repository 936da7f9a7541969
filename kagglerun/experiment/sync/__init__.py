"""Runs, studies and weights kept at another place: S3, Google's storage, another machine, or a folder.

    items       what is carried, and which of its files
    snapshot    an item as it stands here: sizes, digests, parts
    version     an item as it stands at the target: a list of files, written last
    compare     which of the two is ahead, or why they cannot be joined
    push, pull  the two directions
    store       the targets: a folder, an object store (`object_store`), another machine (`ssh_store`)
    behind      pushes after each finished run, in a process of its own

At the target a file is cut into parts, each called by its SHA-256; parts are never changed. A version of an item is a
small file that names them and is written after all of them, so whatever is cut off, by a kill or a network, is either
whole there or not there. A pulled item is put together in a folder of its own, checked, and then moved to its place.
"""
