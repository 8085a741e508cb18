/** Takes a photo with the device's camera. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Modal } from "./modal.js";

const takePhoto = async (video: HTMLVideoElement): Promise<File> => {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  return new File([blob], "photo.jpg", { type: "image/jpeg" });
};

export const CameraDialog = ({
  onPhoto,
  onClose,
}: {
  readonly onPhoto: (photo: File) => void;
  readonly onClose: () => void;
}) => {
  const ref = useRef<HTMLVideoElement>(null);
  const [problem, setProblem] = useState("");
  const [isReady, setReady] = useState(false);
  useEffect(() => {
    let [stream, isGone]: [MediaStream | undefined, boolean] = [undefined, false];
    const stop = () => {
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
    const start = async () => {
      if (navigator.mediaDevices === undefined)
        throw new Error("the page's address is not a secure one");
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (isGone) return stop();
      if (ref.current === null) return;
      ref.current.srcObject = stream;
      await ref.current.play();
      setReady(true);
    };
    start().catch((error: unknown) =>
      setProblem(
        `The camera cannot be used (${error instanceof Error ? error.message : error}). Allow it for this page, or attach a file.`,
      ),
    );
    return () => {
      isGone = true;
      stop();
    };
  }, []);
  return (
    <Modal title="Camera" onClose={onClose}>
      {problem === "" ? (
        <video ref={ref} class="camera" muted playsInline aria-label="What the camera sees" />
      ) : (
        <p class="error" role="alert">
          {problem}
        </p>
      )}
      <div class="dialog-buttons">
        <button
          type="button"
          class="primary"
          disabled={!isReady}
          onClick={async () => {
            if (ref.current === null) return;
            onPhoto(await takePhoto(ref.current));
            onClose();
          }}
        >
          Take the photo
        </button>
      </div>
    </Modal>
  );
};
