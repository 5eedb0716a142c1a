"""The last stage: gates decide, the registry keeps versions, and one conditional write moves the champion."""
