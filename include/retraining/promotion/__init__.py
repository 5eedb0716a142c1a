"""The last stage: gates decide, the journal remembers, and one conditional write moves the champion."""
