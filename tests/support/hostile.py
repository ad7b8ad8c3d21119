"""A text from AWS that attacks whoever prints it."""

# What a job's own text may do to a terminal (ESC, CSI, DEL, a carriage return, a right-to-left override) and to a CI runner.
HOSTILE = "no data\x1b[31m\x9b31m\x7f\r\n::error::forged\n##vso[task.setvariable variable=x]y\n##[error]z\n##teamcity[a]\u202e"
