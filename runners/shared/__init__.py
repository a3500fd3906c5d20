"""What every engine needs: runs on disk, events, progress, failures, digests."""
