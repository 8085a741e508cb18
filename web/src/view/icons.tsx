/** Drawn here, so that nothing has to be fetched. They are decoration: names are written beside them. */
import type { ComponentChildren } from "preact";

const Icon = ({ children }: { readonly children: ComponentChildren }) => (
  <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
    {children}
  </svg>
);

export const AttachIcon = () => (
  <Icon>
    <rect x="3" y="4" width="14" height="12" rx="2" />
    <circle cx="7.5" cy="8.5" r="1.4" />
    <path d="M4 15l4.5-4 3 2.5L14 11l3 3" />
  </Icon>
);
export const CameraIcon = () => (
  <Icon>
    <path d="M3 7h3l1.5-2h5L14 7h3v9H3z" />
    <circle cx="10" cy="11" r="2.8" />
  </Icon>
);
export const SendIcon = () => (
  <Icon>
    <path d="M10 16V4M5 9l5-5 5 5" />
  </Icon>
);
export const StopIcon = () => (
  <Icon>
    <rect x="6" y="6" width="8" height="8" rx="1" class="solid" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="M5 5l10 10M15 5L5 15" />
  </Icon>
);
export const MenuIcon = () => (
  <Icon>
    <path d="M3 6h14M3 10h14M3 14h14" />
  </Icon>
);
export const CompareIcon = () => (
  <Icon>
    <rect x="3" y="4" width="6" height="12" rx="1.5" />
    <rect x="11" y="4" width="6" height="12" rx="1.5" />
  </Icon>
);
export const SettingsIcon = () => (
  <Icon>
    <path d="M3 6h8M15 6h2M3 14h2M9 14h8" />
    <circle cx="13" cy="6" r="2" />
    <circle cx="7" cy="14" r="2" />
  </Icon>
);
export const PlusIcon = () => (
  <Icon>
    <path d="M10 4v12M4 10h12" />
  </Icon>
);
export const EyeMark = () => (
  <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <path d="M3 16c5-8.5 21-8.5 26 0-5 8.5-21 8.5-26 0z" />
    <rect x="12.5" y="12.5" width="7" height="7" rx="1.2" class="solid" />
  </svg>
);
