"""What a job is: statuses, snapshots, transitions and outcomes. Nothing here waits or displays."""
